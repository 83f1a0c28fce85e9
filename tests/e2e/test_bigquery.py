"""Goal: a run and a service read and make tables in BigQuery with each row once, whatever fails on the way. Method:
BigQuery's part is played by `tranche serve` with tables of its own, behind a proxy that plants failures."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

import bigquery_proxy
from bigquery_proxy import failure
from conftest import PROGRAM, default_signals

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "accept"))
import bq  # noqa: E402
from server import CONFIG, Server, line, wait_until  # noqa: E402

PROJECT = "p1"
ROWS = 5
TYPES = {"id": "INTEGER", "text": "STRING", "at": "TIMESTAMP", "n": "NUMERIC", "ok": "BOOLEAN"}
FINAL = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED")


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    """Who plays BigQuery."""
    running = Server(tmp_path_factory.mktemp("google"))
    yield running
    assert running.stop() == 0


@pytest.fixture
def proxy(google):
    running = bigquery_proxy.Proxy(google.url)
    yield running
    running.stop()


@pytest.fixture
def name(request):
    """A dataset for each test."""
    return PROJECT + "." + request.node.name.split("[")[0].removeprefix("test_")[:60]


@pytest.fixture
def run(tranche, proxy):
    def start(*arguments, **options):
        return tranche("run", *arguments, "--bigquery-endpoint", proxy.url, "--state", "state", "-m",
                       "tranche-fake", "--config", config(tranche, ""), **options)
    return start


def config(tranche, text, retry_ms=20000):
    path = tranche.folder / "config.yaml"
    path.write_text(f"bigquery:\n  retry_ms: {retry_ms}\n{text}")
    return path


def plain(count=ROWS):
    return [{"id": i, "text": f"text {i}", "at": "2024-01-31 01:02:03.5+00", "n": "1.25", "ok": i > 2}
            for i in range(count)]


def requests(count=ROWS):
    return [{"id": i, "request": bq.request(f"request {i}")} for i in range(count)]


def fill(google, name, count=ROWS):
    bq.table(google, f"{name}.in", TYPES, plain(count))
    return f"bq://{name}.in", f"bq://{name}.out"


def check_plain(google, name, count=ROWS):
    assert bq.fields(google, f"{name}.out") == {**TYPES, "answer": "STRING", "error": "STRING",
                                                "tokens": "INTEGER"}
    rows = bq.rows(google, f"{name}.out")
    assert [row["id"] for row in rows] == [str(i) for i in range(count)]
    assert [row["answer"] for row in rows] == [f"echo: say text {i}" for i in range(count)]
    assert all(row["at"] == "1706662923500000" and row["n"] == "1.25" for row in rows)
    assert {row["error"] for row in rows} == {None}


# ---- What goes in and out ----

def test_a_table_with_a_prompt_becomes_a_table_with_its_types(google, run, name):
    source, out = fill(google, name)
    done = run(source, "--prompt", "say {text}", "-o", out)
    assert done.returncode == 0, done.stderr
    check_plain(google, name)
    again = run(source, "--prompt", "say {text}", "-o", out)
    assert again.returncode == 0 and "already finished" in again.stderr
    other = run(source, "--prompt", "tell {text}", "-o", out)
    assert other.returncode == 2 and "--overwrite" in other.stderr, other.stderr
    done = run(source, "--prompt", "tell {text}", "-o", out, "--overwrite", "--where", "id > 2", "--keep-columns", "id")
    assert done.returncode == 0, done.stderr
    assert [row["answer"] for row in bq.rows(google, f"{name}.out")] == ["echo: tell text 3", "echo: tell text 4"]


def test_a_finished_run_whose_table_is_gone_makes_it_again(google, run, name):
    source, out = fill(google, name)
    command = (source, "--prompt", "say {text}", "-o", out)
    assert run(*command).returncode == 0
    bq.drop(google, f"{name}.out")
    assert run(*command).returncode == 0
    check_plain(google, name)


def test_requests_of_a_table_become_a_table_as_google_has_it(google, run, name):
    bq.table(google, f"{name}.in", {"id": "INTEGER", "request": "JSON"},
             [*requests(2), {"id": 2, "request": json.dumps({"contents": 7})}])
    done = run(f"bq://{name}.in", "-o", f"bq://{name}.out")
    assert done.returncode == 1, done.stderr
    assert bq.fields(google, f"{name}.out") == {"id": "INTEGER", "request": "JSON", "response": "JSON",
                                                "status": "STRING", "processed_time": "TIMESTAMP"}
    rows = bq.rows(google, f"{name}.out")
    assert [bq.answer(row) for row in rows[:2]] == ["echo: request 0", "echo: request 1"]
    assert [row["status"] == "" for row in rows] == [True, True, False]
    assert rows[2]["response"] is None


def test_tables_and_files_mix(google, run, tranche, name):
    source, _ = fill(google, name)
    assert run(source, "--prompt", "say {text}", "-o", "out.csv").returncode == 0
    head, *rows = (tranche.folder / "out.csv").read_text().splitlines()
    assert head == "id,text,at,n,ok,answer,error,tokens" and len(rows) == ROWS
    assert run(source, "--prompt", "say {text}", "-o", "out.jsonl").returncode == 0
    assert tranche.rows("out.jsonl")[1]["text"] == "text 1"
    (tranche.folder / "in.csv").write_text("code,word\n007,a\n1.10,b\n")
    assert run("in.csv", "--prompt", "say {word}", "-o", f"bq://{name}.csv").returncode == 0
    assert [(row["code"], row["answer"]) for row in bq.rows(google, f"{name}.csv")] == [
        ("007", "echo: say a"), ("1.10", "echo: say b")]
    (tranche.folder / "in.jsonl").write_text(line("x", key=1) + "\n" + line("y", key=2) + "\n")
    assert run("in.jsonl", "-o", f"bq://{name}.lines").returncode == 0
    assert [(row["key"], bq.answer(row)) for row in bq.rows(google, f"{name}.lines")] == [
        ("1", "echo: x"), ("2", "echo: y")]
    bq.table(google, f"{name}.requests", {"id": "INTEGER", "request": "STRING"}, requests())
    assert run(f"bq://{name}.requests", "-o", "rows.jsonl").returncode == 0
    assert [row["id"] for row in tranche.rows("rows.jsonl")] == list(range(ROWS))


def test_a_view_is_asked_once_and_read_anew_by_the_next_run(google, run, name, proxy):
    fill(google, name)
    bq.view(google, f"{name}.view", f"SELECT id, text FROM {name}.in WHERE id < 2")
    command = (f"bq://{name}.view", "--prompt", "say {text}", "-o", "out.csv")
    assert run(*command).returncode == 0
    assert proxy.count("POST jobs") == 1
    bq.insert(google, f"{name}.in", [{"id": -1, "text": "new"}])
    done = run(*command)
    assert done.returncode == 0 and "already finished" not in done.stderr


def test_a_first_look_reads_no_more_rows_than_it_needs(google, run, name, proxy):
    bq.table(google, f"{name}.in", {"id": "INTEGER", "text": "STRING"},
             [{"id": i, "text": "x" * 1000} for i in range(12000)])
    done = run(f"bq://{name}.in", "--prompt", "{id}", "--limit", "3", "-o", "out.csv")
    assert done.returncode == 0, done.stderr
    assert (proxy.count("GET data"), proxy.count("POST jobs")) == (1, 0)


def test_a_large_table_is_read_by_several_requests_from_one_instant(google, run, name, proxy, tranche):
    count = 24000
    bq.table(google, f"{name}.in", {"id": "INTEGER", "text": "STRING"},
             [{"id": i, "text": "x" * 400} for i in range(count)])
    done = run(f"bq://{name}.in", "--prompt", "{id}", "--keep-columns", "id", "-o", f"bq://{name}.out", timeout=600)
    assert done.returncode == 0, done.stderr
    assert proxy.count("GET data") >= 4 and proxy.count("POST jobs") == 1
    assert [row["id"] for row in bq.rows(google, f"{name}.out")] == [str(i) for i in range(count)]


@pytest.mark.parametrize("arguments, words", [
    (["bq://p1.d", "--prompt", "x", "-o", "o.csv"], "bq://PROJECT.DATASET.TABLE"),
    (["bq://p1.d.t", "--prompt", "x {id}"], "-o OUTPUT"),
    (["bq://p1.nothing.t", "--prompt", "x", "-o", "o.csv"], "Not found"),
    (["bq://p1.d.t", "in.csv", "--prompt", "x", "-o", "o.csv"], "cannot be inputs of one run"),
    (["in.csv", "--prompt", "x {b}", "-o", "bq://p1.nothing.t"], "Not found: Dataset p1:nothing"),
    (["odd.csv", "--prompt", "x {b}", "-o", "bq://p1.d.o"], "cannot be those of a table"),
])
def test_what_cannot_be_is_refused_before_any_work(google, run, tranche, arguments, words):
    bq.dataset(google, PROJECT, "d")
    if not bq.exists(google, "p1.d.t"):
        bq.table(google, "p1.d.t", TYPES, plain(1))
    (tranche.folder / "in.csv").write_text("a,b\n1,2\n")
    (tranche.folder / "odd.csv").write_text("a!,b\n1,2\n")
    done = run(*arguments)
    assert done.returncode in (2, 3) and words in done.stderr, done.stderr


# ---- Failures on the way ----

@pytest.mark.parametrize("reason, status", [("backendError", 503), ("rateLimitExceeded", 429),
                                            ("internalError", 500), ("", 502), ("reset", 0), ("lost", 0)])
def test_what_passes_by_itself_is_tried_again(google, run, proxy, name, reason, status):
    source, out = fill(google, name + (reason or "empty"))
    proxy.rule = lambda method, path, count: None if count % 3 else (failure(status, reason) if status else reason)
    done = run(source, "--prompt", "say {text}", "-o", out, timeout=120)
    assert done.returncode == 0, done.stderr
    check_plain(google, name + (reason or "empty"))
    assert proxy.count("GET data") >= 2


@pytest.mark.parametrize("reason, status, words", [
    ("accessDenied", 403, "Access Denied: planted"), ("quotaExceeded", 403, "planted"),
    ("invalidQuery", 400, "planted"), ("notFound", 404, "planted"), ("billingNotEnabled", 403, "planted")])
def test_what_cannot_pass_is_tried_once_and_said(google, run, proxy, name, reason, status, words):
    source, _ = fill(google, name + reason)
    proxy.rule = lambda method, path, count: failure(status, reason, words) if "/data?" in path else None
    done = run(source, "--prompt", "say {text}", "-o", "out.csv")
    assert done.returncode in (3, 4) and words in done.stderr, done.stderr
    assert proxy.count("GET data") == 1
    proxy.rule = lambda method, path, count: None
    assert run(source, "--prompt", "say {text}", "-o", "out.csv").returncode == 0


def test_a_load_job_that_fails_leaves_the_answers_and_is_done_by_the_next_run(google, run, proxy, name):
    source, out = fill(google, name)
    proxy.rule = lambda method, path, count: failure(403, "quotaExceeded", "no more loads") \
        if method == "POST" and "/upload/" in path else None
    done = run(source, "--prompt", "say {text}", "-o", out)
    assert done.returncode == 4 and "no more loads" in done.stderr, done.stderr
    assert not bq.exists(google, f"{name}.out")
    proxy.rule = lambda method, path, count: None
    done = run(source, "--prompt", "say {text}", "-o", out)
    assert done.returncode == 0 and "resuming: 5 of 5" in done.stderr, done.stderr
    check_plain(google, name)


def test_a_token_that_ended_is_read_anew_once(google, tranche, proxy, name):
    source, _ = fill(google, name)
    token = tranche.folder / "token"
    token.write_text("first\n")
    proxy.tokens = {"first"}

    def end_token(method, path, count):
        if "/data?" in path and proxy.tokens == {"first"}:
            proxy.tokens = {"second"}
            token.write_text("second\n")
            return failure(401, "authError", "Invalid Credentials")
        return None
    proxy.rule = end_token
    command = ("run", source, "--prompt", "say {text}", "-o", "out.csv", "--bigquery-endpoint", proxy.url,
               "-m", "tranche-fake", "--state", "state", "--config", config(tranche, f"  token_file: {token}\n"))
    done = tranche(*command)
    assert done.returncode == 0, done.stderr
    assert proxy.count("GET data") == 2
    token.write_text("third\n")
    proxy.calls.clear()
    done = tranche(*command[:3], "tell {text}", *command[4:])
    assert done.returncode in (3, 4) and "Invalid Credentials" in done.stderr, done.stderr
    assert proxy.count("GET table") == 2  # once more with what the file has now, and no further


def test_a_users_credentials_are_exchanged_for_a_token(google, tranche, proxy, name):
    source, _ = fill(google, name)
    proxy.tokens = {"", "of-the-user"}
    proxy.rule = lambda method, path, count: (200, b'{"access_token": "of-the-user", "expires_in": 3600}') \
        if path == "/token" else None
    account = tranche.folder / "adc.json"
    account.write_text(json.dumps({"type": "authorized_user", "client_id": "id", "client_secret": "s&=",
                                   "refresh_token": "r", "token_uri": proxy.url + "/token"}))
    done = tranche("run", source, "--prompt", "say {text}", "-o", "out.csv", "--bigquery-endpoint", proxy.url,
                   "-m", "tranche-fake", "--config", config(tranche, f"  service_account: {account}\n"))
    assert done.returncode == 0, done.stderr
    assert proxy.count("POST /token") == 1


# ---- Kills ----

def kill_when(tranche, proxy, ready, *arguments):
    process = tranche.start("run", *arguments, "--bigquery-endpoint", proxy.url, "--state", "state", "-m",
                            "tranche-fake", "--config", config(tranche, "fake:\n  delay_ms: 20\n  window: 2\n"))
    try:
        wait_until(lambda: ready() or process.poll() is not None)
        assert process.poll() is None, process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_a_run_that_is_killed_goes_on_from_its_copy(google, tranche, proxy, name):
    count = 200
    source, out = fill(google, name, count)
    command = (source, "--prompt", "say {text}", "-o", out)
    kill_when(tranche, proxy, lambda: any((tranche.folder / "state/runs").glob("*/output.jsonl.partial")), *command)
    assert not bq.exists(google, f"{name}.out")
    reads = proxy.count("GET data")
    done = tranche("run", *command, "--bigquery-endpoint", proxy.url, "--state", "state", "-m", "tranche-fake",
                   "--config", tranche.folder / "config.yaml")
    assert done.returncode == 0, done.stderr
    assert proxy.count("GET data") == reads  # the pinned copy was used
    check_plain(google, name, count)


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_a_run_that_is_killed_at_its_load_job_makes_each_row_once(google, tranche, proxy, name, moment):
    source, out = fill(google, name + moment)
    command = (source, "--prompt", "say {text}", "-o", out)
    held, reached = threading.Event(), threading.Event()

    def hold(method, path, count):
        """before: the upload does not begin; during: its bytes do not arrive; after: the job is there, and nobody
        has told us so."""
        here = {"before": method == "POST" and "/upload/" in path, "during": method == "PUT",
                "after": method == "PUT"}[moment]
        if not here:
            return None
        if moment == "after":
            reached.set()
            return "lost"
        reached.set()
        return held
    proxy.rule = hold
    kill_when(tranche, proxy, reached.is_set if moment != "after" else
              lambda: reached.is_set() and bq.exists(google, f"{name}{moment}.out"), *command)
    proxy.rule = lambda method, path, count: None
    held.set()  # what was held goes through now, as a job that BigQuery had already taken
    done = tranche("run", *command, "--bigquery-endpoint", proxy.url, "--state", "state", "-m", "tranche-fake",
                   "--config", tranche.folder / "config.yaml")
    assert done.returncode == 0, done.stderr
    check_plain(google, name + moment)
    status, jobs = google.call("GET", f"/bigquery/v2/projects/{PROJECT}/jobs?projection=full&maxResults=1000")
    assert status == 200
    loads = [job for job in jobs["jobs"] if job["configuration"].get("load", {}).get("destinationTable", {}).get(
        "datasetId") == (name + moment).split(".")[1]]
    assert len(loads) == 1


# ---- A service in front of it ----

def test_a_services_batch_jobs_are_from_and_to_bigquery(google, proxy, name, tmp_path):
    bq.table(google, f"{name}.in", {"id": "INTEGER", "request": "JSON"}, requests())
    service = Server(tmp_path, config=CONFIG + f"bigquery:\n  endpoint: {proxy.url}\nservice:\n  tables: bigquery\n")
    try:
        status, answer = service.call("GET", f"/bigquery/v2/projects/{PROJECT}/datasets")
        assert status == 501 and "BigQuery" in answer["error"]["message"]
        proxy.rule = lambda method, path, count: failure(503, "backendError") if count == 0 else None
        status, job = service.call("POST", bq.JOBS.format(PROJECT),
                                   bq.job_body(f"bq://{name}.in", f"bq://{name}.out"))
        assert status == 200, job

        def ended():
            now = service.call("GET", "/v1/" + job["name"])[1]
            return now if now["state"] in FINAL else None
        now = wait_until(ended)
        assert now["state"] == "JOB_STATE_SUCCEEDED", now
        rows = bq.rows(google, f"{name}.out")
        assert [bq.answer(row) for row in rows] == [f"echo: request {i}" for i in range(ROWS)]
        status, job = service.call("POST", bq.JOBS.format(PROJECT),
                                   bq.job_body(f"bq://{name}.in", f"bq://{name}.out"))
        now = wait_until(ended)
        assert now["state"] == "JOB_STATE_FAILED" and "Already Exists" in now["error"]["message"], now
    finally:
        assert service.stop() == 0
