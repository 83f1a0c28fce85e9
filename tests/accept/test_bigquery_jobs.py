"""google-genai for Python, unmodified, with tables: its own tests of batches.create() from BigQuery, and whole jobs.
The tables are made and read by plain HTTP; google-cloud-bigquery has tests of its own."""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

import bq
from server import Server, lines

genai = pytest.importorskip("google.genai")
from google.genai import errors, types  # noqa: E402

MODEL = "gemini-2.5-flash"
FULL_MODEL = "publishers/google/models/gemini-2.5-flash"
PLAIN = {"id": "INTEGER", "request": "JSON"}


@pytest.fixture
def client(server):
    return genai.Client(vertexai=True, api_key="any", project="p1", location="us-central1",
                        http_options={"base_url": server.url})


def finish(client, job, seconds=60):
    deadline = time.monotonic() + seconds
    while not job.done:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
        job = client.batches.get(name=job.name)
    return job


def simple(count=3):
    return [{"id": i, "request": bq.request(f"request {i}")} for i in range(count)]


# The client of Google's tests takes no address from the environment, as genai.Client does.
ADDRESS = """
import os
from google.genai import _replay_api_client, types
made = _replay_api_client.ReplayApiClient.__init__
def make(self, *args, **more):
    made(self, *args, **{**more, "http_options": types.HttpOptions(base_url=os.environ["SERVER"])})
_replay_api_client.ReplayApiClient.__init__ = make
"""


def test_googles_own_tests_of_jobs_from_bigquery_pass(server, tmp_path):
    """Those in google-genai's wheel, in their mode that calls the service."""
    package = pathlib.Path(importlib.util.find_spec("google.genai").origin).parent
    (tmp_path / "address.py").write_text(ADDRESS)
    environment = {**os.environ, "SERVER": server.url, "GOOGLE_API_KEY": "any", "PYTHONPATH": str(tmp_path),
                   "GOOGLE_GENAI_REPLAYS_DIRECTORY": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "address", "--mode", "api",
         "-o", "consider_namespace_packages=true",
         "--rootdir", str(package / "tests"), str(package / "tests" / "batches" / "test_create_with_bigquery.py")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and "8 passed" in done.stdout, done.stdout + done.stderr


def test_a_table_becomes_a_table_named_by_the_sdk(server, client):
    bq.table(server, "p1.genai.requests", PLAIN, simple())
    job = client.batches.create(model=MODEL, src="bq://p1.genai.requests")
    assert job.model == FULL_MODEL and job.src.bigquery_uri == "bq://p1.genai.requests"
    assert job.src.format == "bigquery" and job.dest.format == "bigquery"
    wanted = job.dest.bigquery_uri
    assert wanted.startswith("bq://p1.genai.requests_dest_")
    job = finish(client, job)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert job.completion_stats.successful_count == 3
    assert job.output_info.bigquery_output_table == wanted
    assert [bq.answer(row) for row in bq.rows(server, wanted)] == [f"echo: request {i}" for i in range(3)]


@pytest.mark.parametrize("dest", ["bq://p1.genai.out_text", {"bigquery_uri": "bq://p1.genai.out_dict",
                                                             "format": "bigquery"}])
def test_a_destination_may_be_a_text_or_a_dict(server, client, dest):
    if not bq.exists(server, "p1.genai.two"):
        bq.table(server, "p1.genai.two", PLAIN, simple(2))
    job = client.batches.create(model=FULL_MODEL, config={"dest": dest, "display_name": "d"},
                                src={"bigquery_uri": "bq://p1.genai.two", "format": "bigquery"})
    uri = dest if isinstance(dest, str) else dest["bigquery_uri"]
    assert job.dest.bigquery_uri == uri and job.display_name == "d"
    assert finish(client, job).state == types.JobState.JOB_STATE_SUCCEEDED
    assert len(bq.rows(server, uri)) == 2


def test_lines_become_a_table_and_a_table_becomes_lines(server, client):
    server.upload("bqmix", "in.jsonl", lines(4))
    job = client.batches.create(model=MODEL, src="gs://bqmix/in.jsonl", config={"dest": "bq://p1.genai.mixed"})
    assert finish(client, job).state == types.JobState.JOB_STATE_SUCCEEDED
    rows = bq.rows(server, "p1.genai.mixed")
    assert [row["key"] for row in rows] == ["k0", "k1", "k2", "k3"]
    job = client.batches.create(model=MODEL, src="bq://p1.genai.mixed_in", config={"dest": "gs://bqmix/out"})
    assert finish(client, job).state == types.JobState.JOB_STATE_FAILED  # there is no such table
    bq.table(server, "p1.genai.mixed_in", PLAIN, simple())
    job = finish(client, client.batches.create(model=MODEL, src="bq://p1.genai.mixed_in",
                                               config={"dest": "gs://bqmix/out"}))
    bucket, _, prefix = job.output_info.gcs_output_directory.removeprefix("gs://").partition("/")
    text = server.download(bucket, prefix + "/predictions.jsonl")
    assert [json.loads(row)["id"] for row in text.splitlines()] == [0, 1, 2]


def test_a_job_only_for_a_project_makes_its_dataset(server, client):
    bq.table(server, "p1.genai.three", PLAIN, simple())
    job = finish(client, client.batches.create(model=MODEL, src="bq://p1.genai.three", config={"dest": "bq://p1"}))
    table = job.output_info.bigquery_output_table
    assert table.startswith("bq://p1.prediction_gemini_2_5_flash_") and table.endswith(".predictions")
    assert len(bq.rows(server, table)) == 3


def test_a_source_without_its_three_parts_is_refused_with_the_form(client):
    with pytest.raises(errors.ClientError) as refused:
        client.batches.create(model=MODEL, src="bq://genai.two", config={"dest": "bq://p1.genai.x"})
    assert refused.value.code == 400 and "bq://project.dataset.table" in refused.value.message


def test_a_table_that_is_there_fails_the_job_before_any_work(server, client):
    bq.table(server, "p1.genai.source", PLAIN, simple())
    bq.table(server, "p1.genai.there", {"x": "INTEGER"})
    job = finish(client, client.batches.create(model=MODEL, src="bq://p1.genai.source",
                                               config={"dest": "bq://p1.genai.there"}))
    assert job.state == types.JobState.JOB_STATE_FAILED
    assert job.error.message.startswith("Already Exists: Table p1:genai.there") and not job.start_time


def test_answers_of_a_schema_and_of_thinking_are_read_by_sql_paths(server, client):
    """Reports 4 and 6: settings from a schema of pydantic's, with $defs and additionalProperties."""
    schema = {"type": "object", "properties": {"item": {"$ref": "#/$defs/Item"}}, "required": ["item"],
              "additionalProperties": False,
              "$defs": {"Item": {"type": "object", "properties": {"n": {"type": "integer"}},
                                 "required": ["n"], "additionalProperties": False}}}
    good = bq.request("x", generationConfig={"responseMimeType": "application/json",
                                             "responseJsonSchema": schema})
    bad = bq.request("x", generation_config={"response_mime_type": "application/json",
                                             "response_schema": {"type_": "OBJECT"}})
    bq.table(server, "p1.genai.schemas", {"id": "STRING", "request": "STRING"},
             [{"id": "good", "request": good}, {"id": "bad", "request": bad}])
    job = finish(client, client.batches.create(model=MODEL, src="bq://p1.genai.schemas",
                                               config={"dest": "bq://p1.genai.schemas_out"}))
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    rows = {row["id"]: row for row in bq.rows(server, "p1.genai.schemas_out")}
    assert rows["good"]["status"] == "" and "n" in json.loads(bq.answer(rows["good"]))["item"]
    assert "type_" in rows["bad"]["status"] and rows["bad"]["response"] is None


def test_rows_that_upstream_refuses_have_its_words_and_the_others_their_answers(server, client):
    """Report 5: 429 of some rows stands in their status."""
    busy = bq.request("x", labels={"tranche-test": "resource_exhausted"})
    bq.table(server, "p1.genai.busy", PLAIN, [{"id": 0, "request": bq.request("fine")}, {"id": 1, "request": busy}])
    job = client.batches.create(model=MODEL, src="bq://p1.genai.busy", config={"dest": "bq://p1.genai.busy_out"})
    for _ in range(200):
        job = client.batches.get(name=job.name)
        if job.done:
            break
        server.advance(60)
        time.sleep(0.05)
    rows = {row["id"]: row for row in bq.rows(server, "p1.genai.busy_out")}
    assert rows["0"]["status"] == "" and bq.answer(rows["0"]) == "echo: fine"
    assert '"code": 429' in rows["1"]["status"] and rows["1"]["response"] is None


def test_failed_rows_are_matched_by_key_and_run_again_into_a_second_table(server, client):
    """Report 11: the second output overrides the first by its key."""
    refused = bq.request("later", labels={"tranche-test": "invalid_argument"})
    bq.table(server, "p1.genai.first", {"key": "STRING", "request": "STRING"},
             [{"key": "a", "request": bq.request("now")}, {"key": "b", "request": refused}])
    finish(client, client.batches.create(model=MODEL, src="bq://p1.genai.first",
                                         config={"dest": "bq://p1.genai.first_out"}))
    before = {row["key"]: row for row in bq.rows(server, "p1.genai.first_out")}
    missing = [key for key, row in before.items() if row["status"]]
    assert missing == ["b"]
    bq.table(server, "p1.genai.second", {"key": "STRING", "request": "STRING"},
             [{"key": key, "request": bq.request("later")} for key in missing])
    finish(client, client.batches.create(model=MODEL, src="bq://p1.genai.second",
                                         config={"dest": "bq://p1.genai.second_out"}))
    after = {**before, **{row["key"]: row for row in bq.rows(server, "p1.genai.second_out")}}
    assert [bq.answer(after[key]) for key in "ab"] == ["echo: now", "echo: later"]


def test_another_process_finds_the_output_by_the_jobs_name(server, client):
    """Report 12: a poller that only knows the name."""
    bq.table(server, "p1.genai.polled", PLAIN, simple())
    name = client.batches.create(model=MODEL, src="bq://p1.genai.polled", config={"dest": "bq://p1.genai.poll_out"}).name
    other = genai.Client(vertexai=True, api_key="any", project="p1", location="us-central1",
                         http_options={"base_url": server.url})
    job = finish(other, other.batches.get(name=name))
    assert len(bq.rows(server, job.output_info.bigquery_output_table)) == 3
    assert name in [j.name for j in other.batches.list(config={"page_size": 100})]


def test_rows_that_never_fit_the_table_engines_memory_end_the_job_and_its_answers_stay(tmp_path):
    """The engine pins 2,048 rows of a column at a time. The other tables of the project go on."""
    small = Server(tmp_path, "--test-clock", more="service:\n  tables_memory: 67108864\n")
    try:
        bq.table(small, "p1.wide.good", PLAIN, simple())
        text = "".join(json.dumps({"request": json.loads(bq.request(f"{i} " + "x" * 400_000))}) + "\n" for i in range(250))
        small.upload("wide-rows", "in.jsonl", text)
        name = bq.ok(small.call("POST", bq.JOBS.format("p1"), bq.job_body("gs://wide-rows/in.jsonl", "bq://p1.wide.out")))["name"]
        deadline = time.monotonic() + 120
        job = {"state": ""}
        while job["state"] not in ("JOB_STATE_FAILED", "JOB_STATE_SUCCEEDED"):
            assert time.monotonic() < deadline, job
            small.advance(31)
            time.sleep(0.2)
            job = bq.ok(small.call("GET", "/v1/" + name))
        assert job["state"] == "JOB_STATE_FAILED" and "service.tables_memory" in job["error"]["message"], job
        status, answers = small.call("GET", f"/v1/{name}:results?offset=0")
        assert status == 200 and len(answers.splitlines()) == 250
        assert len(bq.rows(small, "p1.wide.good")) == 3
        bq.table(small, "p1.wide.other", PLAIN, simple())
    finally:
        assert small.stop() == 0
