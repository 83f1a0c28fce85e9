"""`tranche serve` on several machines: processes that share one PostgreSQL and one bucket, and lines that each of them may answer.

Each process has a folder of its own; the bucket is a folder here (file:///). A test looks at its jobs through any of them."""
import json
import os
import pathlib
import re
import signal
import sys
import time
import urllib.parse

import pytest

from conftest import ROOT, request, text_of
from test_serve import Server

sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "accept"))
import bq  # noqa: E402
import postgres  # noqa: E402
import server as bq_server  # noqa: E402

pytestmark = pytest.mark.skipif(not postgres.programs(), reason="PostgreSQL is not installed (apt package postgresql)")

JOBS = "/v1/projects/default/locations/us-central1/batchPredictionJobs"
FINAL = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"}
LEASE_S = 10  # FLEET_LEASE_MS
WAIT_S = 120
CONFIG = """
models:
  - { name: slow, kind: fake, fake: { delay_ms: 30, window: 16 } }
  - { name: steady, kind: fake, fake: { delay_ms: 1000, window: 64 } }
  - { name: failing, kind: fake, fake: { faults: [ { match: bad, code: INVALID_ARGUMENT } ] } }
  - { name: dear, kind: fake, price: { input: 1, output: 1000 }, fake: { delay_ms: 2, window: 16 } }
"""


@pytest.fixture(scope="module")
def database():
    with postgres.Postgres() as server:
        yield server


class Fleet:
    """Processes on one new database and one new bucket."""

    def __init__(self, tranche, database):
        self.tranche = tranche
        self.servers = []
        self.database = database
        self.name = "t" + os.urandom(6).hex()
        database.sql(f"CREATE DATABASE {self.name}")
        self.store = urllib.parse.urlsplit(database.url)._replace(path="/" + self.name).geturl()
        self.bucket = f"file://{tranche.folder}/bucket"
        (tranche.folder / "bucket").mkdir()
        (tranche.folder / "c.yaml").write_text(CONFIG)

    def start(self, *arguments):
        self.servers.append(Server(self.tranche, "--store", self.store, "--bucket", self.bucket, "--config", "c.yaml", *arguments,
                                   state=f"s{len(self.servers)}"))
        return self.servers[-1]

    def sql(self, text):
        return self.database.sql(text, self.name)

    def close(self):
        for server in self.servers:
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGCONT)
                server.process.kill()
                server.process.communicate()
        self.database.sql(f"DROP DATABASE {self.name} WITH (FORCE)")


@pytest.fixture
def fleet(tranche, database):
    fleet = Fleet(tranche, database)
    yield fleet
    fleet.close()


def made(server, lines, model="slow", **options):
    """A job over these lines, which are texts; its path."""
    data = "".join(json.dumps(request(text)) + "\n" for text in lines)
    name = os.urandom(4).hex()
    server.call("/storage/v1/b?project=default", "POST", '{"name": "fleet"}', content_type="application/json")
    status, reply = server.call(f"/upload/storage/v1/b/fleet/o?uploadType=media&name={name}.jsonl", "POST", data)
    assert status == 200, reply
    status, job = server.call(JOBS, "POST", json.dumps({
        "displayName": "fleet", "model": f"publishers/google/models/{model}",
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [f"gs://fleet/{name}.jsonl"]}},
        "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": f"gs://fleet/out-{name}"}},
        **({"tranche": options} if options else {})}), content_type="application/json")
    assert status == 200, job
    return "/v1/" + job["name"]


def done(job):
    """Lines that have ended, as the job's progress says."""
    progress = job["tranche"]["progress"]
    return progress["succeeded"] + progress["failed"]


def wait_for(server, path, check, seconds=WAIT_S):
    end = time.monotonic() + seconds
    while True:
        status, job = server.call(path)
        assert status in (200, 503), job  # the database may be away
        if status == 200 and check(job):
            return job
        assert time.monotonic() < end, json.dumps(job)
        time.sleep(0.1)


def ended(server, path, state="JOB_STATE_SUCCEEDED", seconds=WAIT_S):
    job = wait_for(server, path, lambda job: job["state"] in FINAL, seconds)
    assert job["state"] == state, json.dumps(job)
    return job


def output(server, job):
    folder = job["outputInfo"]["gcsOutputDirectory"].removeprefix("gs://fleet/")
    name = urllib.parse.quote(folder + "/predictions.jsonl", safe="")
    status, text = server.call(f"/storage/v1/b/fleet/o/{name}?alt=media")
    assert status == 200
    lines = text.splitlines() if isinstance(text, str) else [json.dumps(text)]
    return [json.loads(line) for line in lines]


def assert_in_order(rows, lines):
    assert [row["request"]["contents"][0]["parts"][0]["text"] for row in rows] == lines


def texts(count, word="line"):
    return [f"{word} {n}" for n in range(count)]


def metric(server, name):
    text = server.call("/metrics")[1]
    found = re.search(rf"^{name} (\S+)$", text, re.M)
    return float(found.group(1)) if found else 0.0


def test_two_processes_answer_one_job(fleet):
    one, two = fleet.start(), fleet.start()
    lines = texts(4000)
    path = made(one, lines)
    job = ended(two, path)
    assert done(job) == len(lines)
    for server in (one, two):
        assert_in_order(output(server, job), lines)
        assert metric(server, "tranche_shards_done_total") > 0
    assert metric(one, "tranche_shards_done_total") + metric(two, "tranche_shards_done_total") == 4


def test_a_killed_process_loses_no_line(fleet):
    one, two = fleet.start(), fleet.start()
    lines = texts(4000)
    path = made(one, lines)
    wait_for(one, path, lambda job: done(job) > 0)
    two.process.kill()
    job = ended(one, path)
    assert done(job) == len(lines)
    assert_in_order(output(one, job), lines)
    third = fleet.start()
    assert_in_order(output(third, job), lines)


def test_a_process_that_stood_still_records_nothing_more(fleet):
    one, two = fleet.start(), fleet.start()
    lines = texts(4000)
    path = made(one, lines)
    wait_for(one, path, lambda job: metric(two, "tranche_shards_leased_total") > 0 and done(job) > 0)
    two.process.send_signal(signal.SIGSTOP)
    time.sleep(2 * LEASE_S)
    two.process.send_signal(signal.SIGCONT)
    job = ended(one, path)
    assert done(job) == len(lines)
    assert_in_order(output(one, job), lines)
    two.log("has lost its lease")
    two.log("number")
    assert metric(two, "tranche_leases_lost_total") == 1
    later = made(one, texts(2000))
    assert done(ended(two, later)) == 2000


def test_a_checkpoint_of_a_dead_process_is_taken_over(fleet):
    one = fleet.start()
    lines = texts(1000)
    path = made(one, lines, "steady")
    job = wait_for(one, path, lambda job: done(job) > 0, 30)
    one.process.kill()
    before = done(job)
    assert before < 1000
    two = fleet.start()
    job = ended(two, path)
    assert_in_order(output(two, job), lines)
    assert done(job) == 1000
    # What was recorded is not answered again: the second process paid for the rest alone.
    text = two.call("/metrics")[1]
    answered = sum(float(value) for value in re.findall(r'^tranche_lines_total\{[^}]*outcome="succeeded"[^}]*\} (\S+)$', text, re.M))
    assert 0 < answered <= 1000 - before


def test_a_job_is_steered_from_any_process(fleet):
    one, two, front = fleet.start(), fleet.start(), fleet.start("--no-work")
    lines = texts(4000)
    path = made(front, lines)
    wait_for(two, path, lambda job: done(job) > 0)
    assert two.call(path + ":pause", "POST", "{}")[0] == 200
    job = wait_for(front, path, lambda job: job["state"] == "JOB_STATE_PAUSED")
    paused = done(job)
    assert 0 < paused < len(lines)
    time.sleep(1)
    assert done(front.call(path)[1]) == paused
    assert front.call(path + ":resume", "POST", "{}")[0] == 200
    job = wait_for(one, path, lambda job: done(job) > paused)
    assert front.call(path + ":cancel", "POST", "{}")[0] == 200
    job = ended(two, path, "JOB_STATE_CANCELLED")
    rows = output(front, job)
    assert_in_order(rows, lines)
    assert any(row["status"] for row in rows) and any(not row["status"] for row in rows)
    status, retried = front.call(path + ":retryFailed", "POST", "{}")
    assert status == 200, retried
    job = ended(one, "/v1/" + retried["name"])
    rows = output(two, job)
    assert_in_order(rows, lines)
    assert not any(row["status"] for row in rows)
    assert metric(front, "tranche_shards_leased_total") == 0
    assert two.call(path, "DELETE")[0] == 200
    assert one.call(path)[0] == 404


def test_a_budget_holds_over_the_fleet(fleet):
    one, two = fleet.start(), fleet.start()
    lines = texts(4000)
    path = made(one, lines, "dear", budget={"tokens": 10000})
    job = wait_for(two, path, lambda job: job["state"] == "JOB_STATE_PAUSED")
    assert job["tranche"]["pauseReason"] == "budget"
    tokens = job["tranche"]["tokens"]
    assert 9000 <= tokens["prompt"] + tokens["generated"] <= 10500  # 5 a line, and few in flight
    assert two.call(path + ":resume", "POST", '{"budget": {"tokens": 20000000}}')[0] == 200
    assert_in_order(output(one, ended(one, path)), lines)


def test_a_drained_process_hands_its_leases_over(fleet):
    one, two = fleet.start(), fleet.start()
    lines = texts(4000)
    path = made(one, lines)
    wait_for(one, path, lambda job: metric(two, "tranche_shards_leased_total") > 0 and done(job) > 0)
    began = time.monotonic()
    code, log = two.end()
    assert code == 0, log
    assert fleet.sql("SELECT count(*) FROM process") == [["1"]]
    assert time.monotonic() - began < LEASE_S
    job = ended(one, path)
    assert_in_order(output(one, job), lines)


def test_rows_so_far_and_bad_lines_are_seen_at_any_process(fleet):
    one, front = fleet.start(), fleet.start("--no-work")
    lines = texts(4000)
    path = made(one, lines)
    wait_for(front, path, lambda job: len(front.call(path + ":results")[1]) > 1000 and done(job) > 0)
    status, text = front.call(path + ":results")
    assert status == 200
    rows = [json.loads(line) for line in text.splitlines()]
    assert 0 < len(rows) < 4000
    assert_in_order(rows, lines[:len(rows)])
    assert front.call(path + ":faults") == (200, "")
    assert front.call(path + ":cancel", "POST", "{}")[0] == 200
    ended(front, path, "JOB_STATE_CANCELLED")


def test_rows_of_a_checkpoint_are_seen_before_their_shard_is_done(fleet):
    one, front = fleet.start(), fleet.start("--no-work")
    path = made(one, texts(1000), "steady")
    job = wait_for(front, path, lambda job: done(job) > 0, 30)
    status, text = front.call(path + ":results?order=done")
    assert status == 200
    rows = [json.loads(line) for line in text.splitlines()]
    assert done(job) <= len(rows) < 1000 and {text_of(row) for row in rows}
    assert len({row["request"]["contents"][0]["parts"][0]["text"] for row in rows}) == len(rows)
    status, first = front.call(path + ":results")
    assert status == 200 and first
    later = wait_for(front, path, lambda now: done(now) > done(job), 30)
    assert front.call(path + ":results")[1].startswith(first)
    assert front.call(path + ":cancel", "POST", "{}")[0] == 200
    later = ended(front, path, "JOB_STATE_CANCELLED")
    assert_in_order(output(front, later), texts(1000))
    assert one.call(path + ":results")[1].startswith(first)


def test_the_database_may_go_away_for_a_while(fleet):
    one, two = fleet.start(), fleet.start()
    lines = texts(4000)
    path = made(one, lines)
    wait_for(one, path, lambda job: done(job) > 0)
    fleet.database.restart()
    job = ended(two, path)
    assert done(job) == len(lines)
    assert_in_order(output(one, job), lines)


def test_a_table_of_bigquery_is_read_and_made_once(fleet, tmp_path):
    """BigQuery's part is played by a service with tables of its own."""
    (tmp_path / "google").mkdir()
    google = bq_server.Server(tmp_path / "google")
    try:
        bq.table(google, "p1.fleet.in", {"id": "INTEGER", "request": "JSON"},
                 [{"id": n, "request": bq.request(f"request {n}")} for n in range(2500)])
        (fleet.tranche.folder / "c.yaml").write_text(
            CONFIG + f"  - {{ name: 'gemini-*', kind: fake }}\nbigquery:\n  endpoint: {google.url}\nservice:\n  tables: bigquery\n")
        one, two = fleet.start(), fleet.start()
        body = json.dumps(bq.job_body("bq://p1.fleet.in", "bq://p1.fleet.out"))
        status, job = one.call(bq.JOBS.format("p1"), "POST", body, content_type="application/json")
        assert status == 200, job
        ended(two, "/v1/" + job["name"])
        rows = bq.rows(google, "p1.fleet.out")
        assert len(rows) == 2500
        assert {row["id"]: bq.answer(row) for row in rows} == {str(n): f"echo: request {n}" for n in range(2500)}
        status, job = two.call(bq.JOBS.format("p1"), "POST", body, content_type="application/json")
        again = ended(one, "/v1/" + job["name"], "JOB_STATE_FAILED")
        assert "Already Exists" in again["error"]["message"]
    finally:
        google.stop()


def test_processes_that_only_serve_need_others(tranche):
    refused = tranche("serve", "--listen", "127.0.0.1:0", "--state", "alone", "--no-work")
    assert refused.returncode != 0
    assert "nobody would work on the jobs" in refused.stderr
