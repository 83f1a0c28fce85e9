"""Answers with a schema by the embedded engine: what a run, the service and its metrics count of them, also
when the program is killed. Method: the default model over short receipts; without the model's file the tests
are skipped."""
import json
import os
import pathlib
import re
import shutil
import time

import pytest

from test_serve import JOBS, Server

SCHEMA = {"type": "object", "additionalProperties": False, "required": ["kind", "paid"],
          "properties": {"kind": {"enum": ["food", "tools", "books"]}, "paid": {"type": "boolean"},
                         "note": {"type": "string", "maxLength": 12}}}
LINES = 60


@pytest.fixture
def model(tranche):
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    found = sorted(cache.glob("tranche/deps*/models/smollm2-135m-instruct.gguf"))
    if not found:
        pytest.skip("the default model is not there")
    file = shutil.copy(found[0], tranche.folder / "m.gguf")
    config = tranche.folder / "t.yaml"
    config.write_text(f"default_model: m\nmodels: [{{ name: m, file: {file}, sequences: 4 }}]\n")
    return config


def line(i, tokens=64, **more):
    return {"request": {
        "contents": [{"role": "user", "parts": [{"text": f"Receipt {i}: 3 apples, paid in cash."}]}],
        "generationConfig": {"temperature": 0, "maxOutputTokens": tokens,
                             "responseMimeType": "application/json", "responseJsonSchema": SCHEMA,
                             **more}}}


def lines():
    """The first answer is cut in its middle."""
    return [line(0, tokens=3), *(line(i) for i in range(1, LINES))]


def run(tranche, model, *arguments):
    done = tranche("run", "in.jsonl", "--config", model, "--json", *arguments, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def counted(summary):
    return summary["structured"], summary["tokens"]["forced"], summary["tokens"]["generated"]


def test_a_run_that_was_killed_counts_as_one_that_was_not(tranche, model):
    tranche.write("in.jsonl", *lines())
    whole = run(tranche, model, "-o", "whole.jsonl", "--state", "whole")
    process = tranche.start("run", "in.jsonl", "--config", model, "-o", "out.jsonl", "--state", "state")
    spools = tranche.folder / "state" / "runs"
    while process.poll() is None and not list(spools.glob("*/spool.db-wal")):
        time.sleep(0.01)
    time.sleep(0.3)  # some answers are committed then, or none, or all: each must count the same
    process.kill()
    process.communicate()
    resumed = run(tranche, model, "-o", "out.jsonl", "--state", "state")
    assert counted(resumed) == counted(whole)
    assert whole["structured"] == {"answers": LINES, "complete": LINES - 1}
    assert 0 < whole["tokens"]["forced"] < whole["tokens"]["generated"]
    text = [row["response"]["candidates"][0] for row in tranche.rows("out.jsonl")]
    assert [c["finishReason"] for c in text] == ["MAX_TOKENS"] + ["STOP"] * (LINES - 1)


def metric(server, name):
    status, text = server.call("/metrics")
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)
    assert status == 200
    return sum(map(float, found))


def test_the_service_shows_what_a_schema_left_no_choice_about(tranche, model):
    tranche.write("in.jsonl", *lines()[:8])
    server = Server(tranche, "--config", model)
    try:
        done = tranche("submit", "in.jsonl", "--server", server.url, "--model", "m", "--watch",
                       timeout=300)
        assert done.returncode == 0, done.stderr
        job = server.call(JOBS.format("default") + "?pageSize=1")[1]["batchPredictionJobs"][0]
        assert job["tranche"]["structured"] == {"answers": 8, "complete": 7}
        forced = int(job["tranche"]["tokens"]["forced"])
        assert forced > 0
        assert metric(server, "tranche_structured_answers_total") == 8
        assert metric(server, "tranche_structured_complete_total") == 7
        of_jobs = metric(server, "tranche_model_forced_tokens_total")
        assert of_jobs == forced
        status, reply = server.call("/v1beta/models/m:generateContent", method="POST",
                                    body=json.dumps(line(9)["request"]))
        assert status == 200
        answer = json.loads(reply["candidates"][0]["content"]["parts"][0]["text"])
        assert answer["kind"] in SCHEMA["properties"]["kind"]["enum"]
        assert metric(server, "tranche_model_forced_tokens_total") > of_jobs
    finally:
        server.end()
