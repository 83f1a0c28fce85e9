"""States that an older build left are opened and finished by this one: a run that was killed half way, a
service with paused, running and queued jobs, and its backup. tests/state/make-fixtures made them."""
import contextlib
import fcntl
import json
import shutil
import sqlite3
import sys
import tarfile
import time

import pytest

from conftest import ROOT, Tranche

sys.path[:0] = [str(ROOT / "tests" / "state"), str(ROOT / "tests" / "accept")]
import old_state  # noqa: E402
import server as accept_server  # noqa: E402

BUILDS = sorted(p.name for p in old_state.HERE.iterdir() if (p / "facts.json").exists())
MINUTE_US = 60_000_000
FINAL = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED")


def unpack(build, name, folder):
    """The files of a fixture; they are as old as now, as right after the older build ended."""
    with tarfile.open(old_state.HERE / build / f"{name}.tar.xz") as tar:
        for member in tar:
            member.mtime = int(time.time())
            tar.extract(member, folder)


def spool_rows(spool, copy):
    """Index and answer of each committed line, read from a copy, so that looking changes nothing."""
    copy.mkdir()
    for part in spool.parent.glob("spool.db*"):
        shutil.copy(part, copy)
    with contextlib.closing(sqlite3.connect(copy / "spool.db")) as db:
        return dict(db.execute("SELECT idx, response FROM row"))


def check_rows(rows, lines):
    """One row for each line, in order, with its key, its request and its own answer."""
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines):
        want = json.loads(line)
        assert row["key"] == want["key"] and row["request"] == want["request"]
        if not row["status"]:
            text = row["response"]["candidates"][0]["content"]["parts"][0]["text"]
            assert text == "echo: " + want["request"]["contents"][0]["parts"][0]["text"]


def check_kept(rows, committed):
    """What the older build had committed stands in the output as it was."""
    for index, response in committed.items():
        if response:
            assert rows[index]["response"] == json.loads(response), f"line {index + 1}"


@pytest.fixture
def run_folder():
    """The folder where the run was begun, for one test at a time on this machine."""
    folder = old_state.RUN_FOLDER
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
        shutil.rmtree(folder)


@pytest.mark.parametrize("build", BUILDS)
def test_a_run_killed_half_way_is_finished(build, run_folder, tmp_path):
    unpack(build, "run", run_folder)
    spool, = run_folder.glob("state/runs/*/spool.db")
    committed = spool_rows(spool, tmp_path / "copy")
    assert 0 < len(committed) < old_state.RUN_LINES
    done = Tranche(run_folder)(*old_state.RUN_COMMAND)
    assert f"resuming: {len(committed)} of {old_state.RUN_LINES} lines were done" in done.stderr
    assert done.returncode == 1, done.stderr  # some lines fail for good
    rows = [json.loads(row) for row in (run_folder / "out.jsonl").read_text().splitlines()]
    check_rows(rows, (run_folder / "in.jsonl").read_text().splitlines())
    check_kept(rows, committed)
    assert sum(bool(row["status"]) for row in rows) == sum(
        "broken" in old_state.text_of(i) for i in range(old_state.RUN_LINES))


def shift_times(database, by_us):
    """Moves every point in time of the state, so that it looks as if it was left a minute ago: a paused
    job or a file must not have expired since the fixture was made."""
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        for table, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            for column in columns:
                if column.endswith("_us"):
                    db.execute(f"UPDATE {table} SET {column} = {column} + ? WHERE {column} > ?",
                               (by_us, 10**15))


@pytest.fixture(params=[(b, n) for b in BUILDS for n in ("service", "backup")],
                ids=lambda param: "-".join(param))
def old_service(request, tmp_path):
    """A server of this build on an older state: (server, facts, rows committed of the paused job)."""
    build, name = request.param
    facts = json.loads((old_state.HERE / build / "facts.json").read_text())
    state = tmp_path / "state"
    state.mkdir()
    unpack(build, name, state)
    spool = state / "jobs" / facts["paused"].rsplit("/", 1)[1] / "spool.db"
    committed = spool_rows(spool, tmp_path / "copy")
    shift_times(state / "state.db", int(time.time() * 1e6) - facts["made_us"] - MINUTE_US)
    running = accept_server.Server(tmp_path, more=old_state.SERVICE_CONFIG)
    yield running, facts, committed
    assert running.stop() == 0


def output_rows(server, job):
    directory = job["outputInfo"]["gcsOutputDirectory"]
    bucket, prefix = directory.removeprefix("gs://").split("/", 1)
    return [json.loads(row)
            for row in server.download(bucket, prefix + "/predictions.jsonl").splitlines()]


def test_jobs_of_an_older_service_are_finished(old_service):
    server, facts, committed = old_service
    get = lambda name: server.call("GET", "/v1/" + name)[1]

    paused = get(facts["paused"])
    assert paused["state"] == "JOB_STATE_PAUSED"
    assert paused["tranche"]["progress"]["succeeded"] == len(committed) == facts["paused_lines"]
    done = get(facts["done"])
    assert done["state"] == "JOB_STATE_SUCCEEDED"
    assert done["outputInfo"]["gcsOutputDirectory"] == facts["done_output"]
    check_rows(output_rows(server, done), old_state.lines(3).splitlines())

    assert server.call("POST", "/v1/" + facts["paused"] + ":resume", {})[0] == 200
    for name in [facts["paused"], *facts["open"]]:
        job = accept_server.wait_until(
            lambda n=name: (j := get(n))["state"] in FINAL and j, seconds=300)
        assert job["state"] == "JOB_STATE_SUCCEEDED", job
        rows = output_rows(server, job)
        check_rows(rows, old_state.lines(old_state.SERVICE_LINES).splitlines())
        if name == facts["paused"]:
            check_kept(rows, committed)


def test_objects_and_files_of_an_older_service_are_there(old_service):
    server, facts, _ = old_service
    assert server.download("old-bucket", "small.jsonl") == old_state.lines(3)
    assert server.download("old-bucket", "in.jsonl") == old_state.lines(old_state.SERVICE_LINES)
    status, file = server.call("GET", "/v1beta/" + facts["file"])
    assert status == 200 and file["name"] == facts["file"] and file["state"] == "ACTIVE"
