"""Batches that servers answer: by `tranche run --upstream` and by `tranche serve`, with the stub of an
inference server (tests/stub) as the far side."""
import json
import pathlib
import random
import signal
import subprocess
import time

import pytest

from conftest import request, text_of
from test_serve import JOBS, OK, Server, make_key
from upstream import Upstream

SOME_FAILED, USAGE, STOPPED = 1, 2, 4
SECONDS_MAX = 60


def ask(tranche, count, name="in.jsonl"):
    return tranche.write(name, *({"key": i, **request(f"question {i}")} for i in range(count)))


def assert_answered(tranche, count, name="out.jsonl"):
    """Each line has one row, in order, with the answer to its own text."""
    rows = tranche.rows(name)
    assert [row["key"] for row in rows] == list(range(count))
    for i, row in enumerate(rows):
        assert row["status"] == "" and text_of(row) == f"echo: question {i}", row


def run(tranche, url, *arguments, **options):
    return tranche("run", "in.jsonl", "-o", "out.jsonl", "--model", "stub", "--upstream", url,
                   "--state", "state", "--json", *arguments, **options)


# ---- tranche run ----


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1beta", ""], ids=["v1", "slash", "gemini", "bare"])
def test_a_batch_is_answered_without_any_configuration(tranche, path):
    ask(tranche, 300)
    gemini = ["--dialect", "gemini"] if path in ("/v1beta", "") else []
    with Upstream("--latency-ms", 2, "--jitter-ms", 5) as stub:
        done = run(tranche, stub.url + path, *gemini)
        assert done.returncode == OK, done.stderr
        assert stub.stats()["answered"] == 300
    assert_answered(tranche, 300)
    assert tranche.rows("out.jsonl")[0]["response"]["modelVersion"] == "stub"


@pytest.mark.parametrize("options, cause", [
    (["--key", "right"], "401"), (["--fault", "wrong-model:100%"], "404")], ids=["key", "model"])
def test_a_refusal_that_no_line_can_escape_ends_the_run_and_leaves_the_output(tranche, options, cause):
    ask(tranche, 2000)
    old = tranche.write("out.jsonl", {"an": "older output"})
    before = pathlib.Path(old).read_bytes()
    with Upstream(*options) as stub:
        done = run(tranche, stub.url + "/v1", "--overwrite", TRANCHE_UPSTREAM_KEY="wrong")
        assert done.returncode == STOPPED, done.stderr
        assert cause in done.stderr and "no request can be answered" in done.stderr
        assert stub.stats()["requests"] < 200
    assert pathlib.Path(old).read_bytes() == before


def test_one_line_that_is_refused_ends_no_run(tranche):
    ask(tranche, 500)
    with Upstream("--fault", "wrong-model:10%", "--seed", 3) as stub:
        done = run(tranche, stub.url + "/v1")
        assert done.returncode == SOME_FAILED, done.stderr
        denied = stub.stats()["faults"]["wrong-model"]
    assert sum("404" in row["status"] for row in tranche.rows("out.jsonl")) in range(1, denied + 1)


ITEM = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER", "minimum": 0}}, "required": ["n"]}


IMPATIENT = ["--config", "config.yaml"]


def ask_in_form(tranche, texts, schema=ITEM, mime="application/json", temperature=0.7, name="in.jsonl"):
    """A line for each text, which the stub says."""
    config = {"responseMimeType": mime, "responseSchema": schema, "temperature": temperature}
    tranche.write("config.yaml", "retry: { attempts: 3, base_ms: 10 }")
    tranche.write(name, *({"key": i, **request(text, **config)}
                          for i, text in enumerate(texts)))


@pytest.mark.parametrize("dialect", ["openai", "gemini"])
def test_answers_are_checked_against_their_schema(tranche, dialect):
    """A wrong answer is asked for again; one that stays wrong fails its line with the place, one that was
    cut is taken and not complete; the counters survive a resume."""
    ask_in_form(tranche, [
        '{"n": 1}',
        'I would say 2||{"n": 2}',
        '{"n": -3}||{"n": "x"}',
        '{"n": [cut]',
        '{"n":||```json||{"n": 5}',
    ])
    with Upstream("--say", "--tokens", 10) as stub:
        path = "/v1" if dialect == "openai" else "/v1beta"
        done = run(tranche, stub.url + path, "--dialect", dialect, *IMPATIENT)
        assert stub.stats()["answered"] == 1 + 2 + 3 + 1 + 3
    assert done.returncode == SOME_FAILED, done.stderr
    rows = tranche.rows("out.jsonl")
    assert [bool(row["status"]) for row in rows] == [False, False, True, False, False]
    assert [text_of(row) for row in rows if not row["status"]] == ['{"n": 1}', '{"n": 2}', '{"n": ', '{"n": 5}']
    assert "$.n is of another type (properties.n.type)" in rows[2]["status"]
    assert rows[2]["response"] == {}
    assert rows[3]["response"]["candidates"][0]["finishReason"] == "MAX_TOKENS"
    summary = json.loads(done.stdout)
    assert summary["structured"] == {"answers": 4, "complete": 3}
    assert summary["rejected"]["answers"] == 1 + 3 + 2
    assert summary["rejected"]["tokens"] > summary["rejected"]["answers"] * 10
    assert summary["tokens"]["generated"] == 4 * 10
    shown = tranche("run", "in.jsonl", "-o", "out.jsonl", "--model", "stub", "--state", "state",
                    "--upstream", stub.url + path, "--dialect", dialect, *IMPATIENT)
    assert "complete  3 of 4 answers" in shown.stderr and "rejected  6 answers" in shown.stderr, shown.stderr


def test_at_temperature_0_a_wrong_answer_is_asked_for_once_more(tranche):
    ask_in_form(tranche, ["no||no||{\"n\": 1}", "no||{\"n\": 2}"], temperature=0)
    with Upstream("--say") as stub:
        done = run(tranche, stub.url + "/v1", *IMPATIENT)
        assert stub.stats()["answered"] == 4
    assert done.returncode == SOME_FAILED, done.stderr
    assert [bool(row["status"]) for row in tranche.rows("out.jsonl")] == [True, False]


def test_an_enum_and_fenced_json_of_a_small_server_are_understood(tranche):
    ask_in_form(tranche, ['```json\n{"n": 1}\n```', 'Here: ```json\n{"n": 1}\n```'], temperature=0)
    ask_in_form(tranche, ["good", "Good||good", "fine"], {"type": "STRING", "enum": ["good", "bad"]},
                "text/x.enum", name="mood.jsonl")
    with Upstream("--say") as stub:
        done = run(tranche, stub.url + "/v1", *IMPATIENT)
        assert [bool(row["status"]) for row in tranche.rows("out.jsonl")] == [False, True]
        assert text_of(tranche.rows("out.jsonl")[0]) == '{"n": 1}'
        done = tranche("run", "mood.jsonl", "-o", "mood.out", "--model", "stub", "--upstream", stub.url + "/v1",
                       "--state", "state", "--json", *IMPATIENT)
    rows = tranche.rows("mood.out")
    assert [bool(row["status"]) for row in rows] == [False, False, True]
    assert "is not one of the enum's values" in rows[2]["status"] and "fine" in rows[2]["status"]
    assert json.loads(done.stdout)["structured"] == {"answers": 2, "complete": 2}


def test_a_schema_that_no_answer_can_be_checked_for_is_refused_with_its_place(tranche):
    config = {"responseMimeType": "application/json",
              "responseJsonSchema": {"properties": {"a": {"contains": {"type": "string"}}}}}
    tranche.write("in.jsonl", request("{}"), request("{}", **config))
    with Upstream("--say") as stub:
        done = tranche("validate", "in.jsonl", "--model", "stub", "--upstream", stub.url + "/v1")
    assert done.returncode != OK
    assert "generationConfig.responseJsonSchema.properties.a.contains" in done.stdout + done.stderr
    assert "Say what the elements are with items or prefixItems" in done.stdout + done.stderr


def test_the_key_comes_from_the_environment_and_stands_nowhere(tranche):
    ask(tranche, 3)
    with Upstream("--key", "secret-4711") as stub:
        done = run(tranche, stub.url + "/v1")
        assert done.returncode == STOPPED and "401" in done.stderr
        done = run(tranche, stub.url + "/v1", TRANCHE_UPSTREAM_KEY="secret-4711")
        assert done.returncode == OK, done.stderr
        gemini = ["--overwrite", "--dialect", "gemini"]
        done = run(tranche, stub.url + "/v1beta", *gemini, TRANCHE_UPSTREAM_KEY="secret-4711")
        assert done.returncode == OK, done.stderr
    for path in pathlib.Path(tranche.folder).rglob("*"):
        if path.is_file():
            assert b"secret-4711" not in path.read_bytes(), path
    assert "secret-4711" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--upstream", "nonsense", "--model", "m"], "must be a URL such as"),
    (["--upstream", "http://user:pass@h/v1", "--model", "m"], "without user or password"),
    (["--upstream", "http://127.0.0.1:1/v1"], "needs --model"),
    (["--max-rpm", "5"], "go with --upstream"),
    (["--dialect", "gemini"], "go with --upstream"),
    (["--upstream", "http://127.0.0.1:1/v1", "--model", "m", "--max-rpm", "0"], "--max-rpm"),
    (["--upstream", "http://127.0.0.1:1/v1", "--model", "m", "--dialect", "soap"], "openai"),
])
def test_mistakes_of_the_command_line_are_told(tranche, arguments, words):
    ask(tranche, 1)
    done = tranche("run", "in.jsonl", *arguments)
    assert done.returncode == USAGE and words in done.stderr, done.stderr


def test_what_the_dialect_cannot_say_is_told_before_any_work(tranche):
    tranche.write("in.jsonl", request("fine"),
                  {"request": {**request("x")["request"], "tools": [{"googleSearch": {}}]}})
    with Upstream() as stub:
        done = run(tranche, stub.url + "/v1", "--strict")
        assert "tools[0].googleSearch" in done.stderr, done.stderr
        assert stub.stats()["requests"] == 0
        done = tranche("validate", "in.jsonl", "--upstream", stub.url + "/v1", "--model", "stub")
        assert "tools[0].googleSearch" in done.stdout, done.stdout


def test_texts_and_vectors_are_embedded(tranche):
    tranche.write("in.jsonl", *({"key": i, "request": {"content": {"parts": [{"text": f"text {i}"}]}}}
                                for i in range(20)))
    with Upstream() as stub:
        done = run(tranche, stub.url + "/v1")
        assert done.returncode == OK, done.stderr
    for row in tranche.rows("out.jsonl"):
        assert len(row["response"]["embedding"]["values"]) > 0


def test_killed_at_random_instants_it_goes_on_and_answers_every_line(tranche):
    lines, chance = 3000, random.Random(5)
    ask(tranche, lines)
    command = ["run", "in.jsonl", "-o", "out.jsonl", "--model", "stub", "--state", "state", "--json"]
    with Upstream("--latency-ms", 10, "--jitter-ms", 20) as stub:
        for _ in range(6):
            process = tranche.start(*command, "--upstream", stub.url + "/v1", stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.05, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
        done = run(tranche, stub.url + "/v1")
        assert done.returncode == OK, done.stderr
        # What was in flight or not yet committed is asked again, and no more than that.
        assert stub.stats()["requests"] < 4 * lines
    assert_answered(tranche, lines)


def test_a_server_that_is_restarted_costs_no_line(tranche):
    ask(tranche, 2000)
    with Upstream("--latency-ms", 20) as first:
        process = tranche.start("run", "in.jsonl", "-o", "out.jsonl", "--model", "stub", "--upstream",
                                first.url + "/v1", "--state", "state", "--json")
        while first.stats()["answered"] < 300:
            time.sleep(0.01)
        first.stop()
        time.sleep(1)
        with Upstream("--latency-ms", 5, "--port", first.port):
            _, stderr = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == OK, stderr
    assert_answered(tranche, 2000)


def test_a_server_that_never_answered_is_told_in_each_row(tranche):
    ask(tranche, 200)
    with Upstream() as stub:
        url = stub.url
    tranche.write("config.yaml", f"upstreams: [{{ name: gone, url: '{url}/v1', patience_ms: 300 }}]",
                  "models: [{ name: stub, upstreams: [{ upstream: gone }] }]",
                  "retry: { base_ms: 1, cap_ms: 5 }")
    done = tranche("run", "in.jsonl", "-o", "out.jsonl", "--model", "stub", "--config", "config.yaml")
    assert done.returncode == SOME_FAILED
    rows = tranche.rows("out.jsonl")
    assert len(rows) == 200
    assert all("connection refused" in row["status"].lower() for row in rows), rows[0]


def test_a_limit_a_minute_is_kept(tranche):
    """The server refuses what is over its limit; nothing is, so nothing is refused."""
    ask(tranche, 30)
    with Upstream("--rpm", 600) as stub:
        done = run(tranche, stub.url + "/v1", "--max-rpm", 600)
        assert done.returncode == OK, done.stderr
        stats = stub.stats()
        assert stats["limited"] == 0 and stats["window_max"] <= 600
    assert_answered(tranche, 30)


def test_a_servers_own_wish_to_wait_is_honoured(tranche):
    ask(tranche, 40)
    with Upstream("--fault", "http-429:100%:1", "--retry-after-ms", 1000) as stub:
        done = run(tranche, stub.url + "/v1")
        assert done.returncode == OK, done.stderr
        assert json.loads(done.stdout)["retries"] >= 40
        assert stub.stats()["attempts_max"] == 2
    assert_answered(tranche, 40)


# ---- tranche serve ----

TWO = """
upstreams:
  - {{ name: own, url: "{own}/v1", timeout_ms: 20000 }}
  - {{ name: paid, url: "{paid}/v1beta", dialect: gemini }}
models:
  - name: "gemini-*"
    upstreams:
      - {{ upstream: own, model: qwen }}
      - {{ upstream: paid, model: gemini-2.5-flash, weight: 0 }}
retry: {{ base_ms: 5, cap_ms: 50 }}
"""


class World:
    """A service with two servers behind its models."""

    def __init__(self, tranche):
        self.tranche = tranche
        self.servers = []
        self.service = None

    def start(self, *arguments, own=(), paid=()):
        self.servers = [Upstream(*own), Upstream(*paid)]
        config = TWO.format(own=self.servers[0].url, paid=self.servers[1].url)
        self.tranche.write("config.yaml", config)
        self.service = Server(self.tranche, "--config", "config.yaml", *arguments)
        return self.service

    def submit(self, *arguments, **options):
        done = self.tranche("submit", "in.jsonl", "--model", "gemini-2.5-flash", "--server",
                            self.service.url, *arguments, **options)
        assert done.returncode == OK, done.stderr
        return done.stdout.strip()

    def job(self, number):
        return self.service.call(JOBS.format("default") + "/" + number)[1]

    def wait(self, number, state):
        end = time.monotonic() + SECONDS_MAX
        while time.monotonic() < end:
            job = self.job(number)
            if job["state"] == state:
                return job
            time.sleep(0.02)
        raise AssertionError(job)

    def wait_running(self, number, test):
        end = time.monotonic() + SECONDS_MAX
        while time.monotonic() < end:
            job = self.job(number)
            if test(job.get("tranche", {})):
                return job
            time.sleep(0.02)
        raise AssertionError(job)

    def rows(self, number, name="rows.jsonl"):
        done = self.tranche("results", number, "-o", name, "--server", self.service.url)
        assert done.returncode == OK, done.stderr
        return self.tranche.rows(name)


@pytest.fixture
def world(tranche):
    w = World(tranche)
    yield w
    if w.service:
        w.service.process.kill()
        w.service.process.communicate()
    for server in w.servers:
        server.stop()


def test_a_job_is_answered_and_shows_its_upstreams(tranche, world):
    ask(tranche, 400)
    world.start(own=["--latency-ms", 200])
    number = world.submit()
    job = world.wait_running(number, lambda t: t.get("upstreams") and t["upstreams"][0]["inFlight"])
    shown = job["tranche"]["upstreams"]
    assert [u["name"] for u in shown] == ["own", "paid"]
    assert shown[0]["health"] == "healthy" and shown[1]["health"] == "unused"
    world.wait(number, "JOB_STATE_SUCCEEDED")
    rows = world.rows(number)
    assert [text_of(row) for row in rows] == [f"echo: question {i}" for i in range(400)]
    assert {row["response"]["modelVersion"] for row in rows} == {"stub@own"}


def test_upstreams_are_shown_by_the_command_and_measured(tranche, world):
    ask(tranche, 50)
    service = world.start()
    world.wait(world.submit(), "JOB_STATE_SUCCEEDED")
    done = tranche("upstreams", "--server", service.url)
    assert done.returncode == OK, done.stderr
    head, own, paid = done.stdout.splitlines()
    assert head.split()[0] == "NAME" and own.split()[:2] == ["own", "healthy"]
    assert paid.split()[:2] == ["paid", "unused"]
    listed = json.loads(tranche("upstreams", "--json", "--server", service.url).stdout)["upstreams"]
    assert listed[0]["answered"] == "50" and listed[0]["dialect"] == "openai"
    metrics = service.call("/metrics")[1]
    assert 'tranche_upstream_exchanges_total{upstream="own",end="answered"} 50' in metrics


def test_an_online_call_gets_the_same_answer_as_a_line(tranche, world):
    ask(tranche, 1)
    service = world.start()
    number = world.submit()
    world.wait(number, "JOB_STATE_SUCCEEDED")
    status, online = service.call("/v1beta/models/gemini-2.5-flash:generateContent", "POST",
                                  json.dumps(request("question 0")["request"]))
    assert status == 200
    assert online["candidates"] == world.rows(number)[0]["response"]["candidates"]


def test_a_job_that_no_server_can_answer_fails_with_the_cause(tranche, world):
    """The wrong key of both servers costs a few requests and no row."""
    ask(tranche, 2000)
    world.start(own=["--key", "right"], paid=["--key", "right"])
    number = world.submit()
    job = world.wait(number, "JOB_STATE_FAILED")
    assert "no request can be answered" in job["error"]["message"] and "401" in job["error"]["message"]
    assert int(job.get("completionStats", {}).get("failedCount", 0)) == 0
    assert sum(server.stats()["requests"] for server in world.servers) < 400


def test_a_job_goes_on_while_one_of_its_servers_answers(tranche, world):
    ask(tranche, 300)
    world.start(own=["--key", "right"])
    number = world.submit()
    world.wait(number, "JOB_STATE_SUCCEEDED")
    rows = world.rows(number)
    assert [row["key"] for row in rows] == list(range(300))
    assert {row["response"]["modelVersion"] for row in rows} == {"stub@paid"}


def test_when_the_own_server_is_broken_the_paid_one_answers(tranche, world):
    ask(tranche, 200)
    world.start(own=["--fault", "http-500:100%"])
    number = world.submit()
    world.wait(number, "JOB_STATE_SUCCEEDED")
    rows = world.rows(number)
    assert [text_of(row) for row in rows] == [f"echo: question {i}" for i in range(200)]
    assert {row["response"]["modelVersion"] for row in rows} == {"stub@paid"}


def test_a_job_whose_server_hangs_can_be_cancelled_and_others_go_on(tranche, world):
    service = world.start(own=["--fault", "hang:100%"])
    ask(tranche, 100)
    stuck = world.submit()
    world.wait_running(stuck, lambda t: t.get("inFlight"))
    done = tranche("submit", "in.jsonl", "--model", "tranche-fake", "--server", service.url, "--watch")
    assert done.returncode == OK, done.stderr
    assert tranche("cancel", stuck, "--server", service.url).returncode == OK
    job = world.wait(stuck, "JOB_STATE_CANCELLED")
    assert job["tranche"]["progress"]["notRun"] == 100


def test_a_file_of_another_project_cannot_be_had_by_naming_it(tranche, world):
    keys = {name: make_key(tranche, project=name) for name in ("p1", "p2")}
    service = world.start()
    (tranche.folder / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    options = {name: {"TRANCHE_API_KEY": keys[name], "TRANCHE_PROJECT": name} for name in keys}
    for name in keys:
        assert tranche("mb", f"gs://of-{name}", "--server", service.url, **options[name]).returncode == OK
        done = tranche("cp", "cat.png", f"gs://of-{name}/cat.png", "--server", service.url,
                       **options[name])
        assert done.returncode == OK, done.stderr
    tranche.write("in.jsonl", *({"key": name, "request": {"contents": [{"parts": [
        {"text": f"see {name}"},
        {"fileData": {"fileUri": f"gs://of-{name}/cat.png", "mimeType": "image/png"}}]}]}}
        for name in keys))
    done = tranche("submit", "in.jsonl", "--model", "gemini-2.5-flash", "--server", service.url,
                   "--watch", **options["p1"])
    number = done.stdout.split()[0]
    done = tranche("results", number, "-o", "rows.jsonl", "--server", service.url, **options["p1"])
    assert done.returncode == OK, done.stderr
    mine, other = tranche.rows("rows.jsonl")
    assert text_of(mine) == "echo: see p1"
    assert "No such object" in other["status"] and "response" not in other or not other["response"]


def test_a_restarted_service_goes_on_with_a_job_of_an_upstream(tranche, world):
    ask(tranche, 1500)
    service = world.start(own=["--latency-ms", 40])
    number = world.submit()
    world.wait_running(number, lambda t: t.get("progress", {}).get("succeeded", 0) > 100)
    service.process.kill()
    service.process.communicate()
    world.service = Server(tranche, "--config", "config.yaml")
    world.wait(number, "JOB_STATE_SUCCEEDED")
    assert [text_of(r) for r in world.rows(number)] == [f"echo: question {i}" for i in range(1500)]
