"""`tranche migrate`: a state folder goes to PostgreSQL and an S3 server, killed on the way, and a fleet goes on with its jobs."""
import os
import re
import subprocess
import sys
import urllib.parse

import pytest

from conftest import ROOT
from test_fleet import assert_in_order, done, ended, made, output, texts, wait_for
from test_serve import Server

sys.path.insert(0, str(ROOT / "tests" / "cluster"))
import postgres  # noqa: E402
import servers  # noqa: E402

pytestmark = pytest.mark.skipif(not postgres.programs(), reason="PostgreSQL is not installed (apt package postgresql)")

LINES = 3000
CONFIG = """
models:
  - { name: slow, kind: fake, fake: { delay_ms: 40, window: 16 } }
  - { name: steady, kind: fake, price: { input: 1, output: 1 }, fake: { delay_ms: 100, window: 64 } }
  - { name: failing, kind: fake, fake: { faults: [ { match: bad, code: INTERNAL } ] } }
"""


@pytest.fixture(scope="module")
def places():
    with postgres.Postgres() as database:
        s3 = servers.S3()
        yield database, s3
        s3.remove()


@pytest.fixture
def target(tranche, places):
    """Options of an empty database and an empty bucket."""
    database, s3 = places
    name = "m" + os.urandom(6).hex()
    database.sql(f"CREATE DATABASE {name}")
    tranche.environment.update(servers.S3_KEYS)
    (tranche.folder / "c.yaml").write_text(CONFIG)
    store = urllib.parse.urlsplit(database.url)._replace(path="/" + name).geturl()
    yield ["--store", store, "--bucket", s3.bucket(name)]
    database.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def started(tranche):
    """Starts servers, and ends what a test that failed has left."""
    servers_of_test = []

    def start(*options, state):
        servers_of_test.append(Server(tranche, "--config", "c.yaml", *options, state=state))
        return servers_of_test[-1]

    yield start
    for server in servers_of_test:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


def begin_upload(server):
    """The address of an upload that has its first half."""
    import http.client

    host = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(host.hostname, host.port)
    connection.request("POST", "/upload/storage/v1/b/fleet/o?uploadType=resumable&name=halves", "{}",
                       {"Content-Type": "application/json"})
    reply = connection.getresponse()
    reply.read()
    place = urllib.parse.urlsplit(reply.headers["Location"])
    half = "x" * 262144
    connection.request("PUT", place.path + "?" + place.query, half, {"Content-Range": "bytes 0-262143/*"})
    assert connection.getresponse().status == 308
    connection.close()
    return place.path + "?" + place.query


def migrated(tranche, target):
    """The notes of the command that ends it, after calls that were killed at one moment after the other."""
    for wait_ms in range(0, 2000, 37):
        process = tranche.start("migrate", "--state", "one", *target)
        try:
            code = process.wait(wait_ms / 1000)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            continue
        notes = process.communicate()[1]
        assert code == 0, notes
        return notes
    pytest.fail("it does not come to its end")


def test_a_folder_goes_to_a_fleet(tranche, target, started):
    one = started(state="one")
    lines, short = texts(LINES), texts(40) + ["bad 1", "bad 2"]
    failed = made(one, short, "failing")
    ended(one, failed)
    path = made(one, lines)
    paused = made(one, texts(50), "steady")
    assert one.call(paused + ":pause", "POST", "{}")[0] == 200
    upload = begin_upload(one)
    job = wait_for(one, path, lambda job: done(job) > 300)
    assert one.end()[0] == 0
    notes = migrated(tranche, target)
    before = done(job)
    if "nothing was done" not in notes:  # the last kill did not come between the end and its report
        assert "3 jobs, of which 2 are open and go on there" in notes
        assert "1 unfinished uploads" in notes
        assert int(re.search(r"(\d+) answers", notes).group(1)) - len(short) >= before

    two = started(*target, state="two")
    three = started(*target, state="three")
    # The upload goes on, though its first half came to the folder.
    status, made_object = two.call(upload, "PUT", "y" * 10, Content_Range="bytes 262144-262153/262154")
    assert status == 200, made_object
    assert three.call("/storage/v1/b/fleet/o/halves?alt=media")[1] == "x" * 262144 + "y" * 10
    # The job goes on from its answers.
    job = ended(three, path)
    assert done(job) == LINES
    assert_in_order(output(two, job), lines)
    answered = sum(float(value) for server in (two, three) for value in
                   re.findall(r'^tranche_lines_total\{[^}]*model="slow"[^}]*outcome="succeeded"[^}]*\} (\S+)$',
                              server.call("/metrics")[1], re.M))
    assert 0 < answered <= LINES - before
    # What was paused is paused, what failed can be tried again: only that.
    job = wait_for(two, paused, lambda job: job["state"] == "JOB_STATE_PAUSED")
    assert two.call(paused + ":resume", "POST", "{}")[0] == 200
    ended(three, paused)
    status, again = two.call(failed + ":retryFailed", "POST", "{}")
    assert status == 200, again
    job = ended(three, "/v1/" + again["name"])
    assert_in_order(output(two, job), short)
    assert job["tranche"]["tokens"]["generated"] == 0  # of the answers only the failures were asked for again
    for server in (two, three):
        assert server.end()[0] == 0


def test_a_second_call_does_nothing_and_another_folder_is_refused(tranche, target, started):
    one, other = started(state="one"), started(state="other")
    ended(one, made(one, texts(3)))
    assert one.end()[0] == 0 and other.end()[0] == 0
    migrated(tranche, target)
    again = tranche("migrate", "--state", "one", *target)
    assert again.returncode == 0 and "nothing was done" in again.stderr
    refused = tranche("migrate", "--state", "other", *target)
    assert refused.returncode == 4
    assert "the database is not empty" in refused.stderr


def test_a_folder_that_is_served_is_refused(tranche, target, started):
    one = started(state="one")
    refused = tranche("migrate", "--state", "one", *target)
    assert refused.returncode == 4
    assert "another server runs on the state folder" in refused.stderr
    one.end()


def test_what_cannot_go_along_is_said(tranche, target, started):
    one = started(state="one")
    assert one.end()[0] == 0
    (tranche.folder / "one" / "tables").mkdir(exist_ok=True)
    (tranche.folder / "one" / "tables" / "default.duckdb").write_text("")
    (tranche.folder / "one" / "models").mkdir(exist_ok=True)
    (tranche.folder / "one" / "models" / "tuned.gguf").write_text("")
    notes = migrated(tranche, target)
    assert "not moved: the tables of 1 projects" in notes
    assert "not moved: 1 files of tuned models" in notes


def test_both_places_must_be_given(tranche):
    (tranche.folder / "one").mkdir()
    refused = tranche("migrate", "--state", "one", "--store", "postgres://127.0.0.1/x")
    assert refused.returncode == 2
    assert "--store and --bucket" in refused.stderr
