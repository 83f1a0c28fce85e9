#!/usr/bin/env python3
"""usage: bench/cluster/run.py [--lines N] [--jobs N] [--processes N,N...] [--pinned] [--program PATH]

Measures what a shared store costs: N jobs (default 4) of N lines in all (default 400,000), answered by tranche-fake, from the first
create to the last end of a job.
  alone     one process on a folder: SQLite
  shared    1, 2 and 4 processes on PostgreSQL (commits reach the disk) and versitygw, all of them on this machine
--pinned: the process that is measured has one core, and the servers and the client the others.

Prints for each: lines/s; CPU seconds per million lines of the processes, of PostgreSQL and of the S3 server; statements and
bytes of its log that PostgreSQL wrote per 1,000 lines; requests and bytes at the bucket per 1,000 lines. Statements are
counted by pg_stat_statements while jobs run, renewals of leases apart."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import resource
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "cluster"), str(ROOT / "tests" / "accept")]
JOBS = "/v1/projects/p1/locations/us-central1/batchPredictionJobs"
FINAL = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
CONFIG = """models:
  - name: "gemini-*"
    kind: fake
"""


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__.splitlines()[0].removeprefix("usage: "))
    parser.add_argument("--lines", type=int, default=400000)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--processes", default="1,2,4")
    parser.add_argument("--pinned", action="store_true")
    parser.add_argument("--program", default=str(ROOT / "build" / "tranche"))
    parser.add_argument("--statements", action="store_true", help="print each statement with its calls")
    return parser.parse_args()


def text_of(job, count):
    return "".join(json.dumps({"key": f"{job}-{i}", "request": {"contents": [{"role": "user", "parts": [
        {"text": f"Review {job}-{i}: the lamp arrived late, works well and looks good on my desk. Is it positive?"}]}]}}) + "\n"
        for i in range(count))


def cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def time_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Ended:
    """CPU seconds of processes, known when they have ended and we have waited for them."""

    def __init__(self, end):
        before = cpu_of_children()
        end()
        self.seconds = cpu_of_children() - before


def work(servers, options):
    """Seconds from the first create to the last end, as the jobs have them; their rows are then counted."""
    count = options.lines // options.jobs
    first = servers[0]
    for job in range(options.jobs):
        first.upload("bench", f"{job}.jsonl", text_of(job, count))
    names = []
    for job in range(options.jobs):
        status, made = servers[job % len(servers)].call("POST", JOBS, {
            "displayName": str(job), "model": "publishers/google/models/gemini-2.5-flash",
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [f"gs://bench/{job}.jsonl"]}},
            "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://bench/out"}}})
        assert status == 200, made
        names.append(made["name"])
    ended = {}
    while len(ended) < len(names):
        for name in names:
            job = first.call("GET", "/v1/" + name)[1]
            if job["state"] in FINAL:
                ended[name] = job
        time.sleep(0.5)  # each look is four statements
    seconds = max(time_of(job["endTime"]) for job in ended.values()) - min(time_of(job["createTime"]) for job in ended.values())
    for job in ended.values():
        assert job["state"] == "JOB_STATE_SUCCEEDED", job
        path = job["outputInfo"]["gcsOutputDirectory"].removeprefix("gs://bench/") + "/predictions.jsonl"
        rows = first.download("bench", path).count("\n")
        assert rows == count, (rows, count)
    return seconds


def start(number, folder, options, pinned, *more):
    """A process with a folder of its own; pinned: to the first core, in which case everything else has the others."""
    from server import Server  # pylint: disable=import-outside-toplevel
    place = folder / str(number)
    place.mkdir()
    if pinned:
        os.sched_setaffinity(0, CORES[:1])
    try:
        return Server(place, *more, config=CONFIG)
    finally:
        os.sched_setaffinity(0, CORES[1:] if pinned else CORES)


def stop(servers):
    """The CPU seconds of all."""
    def end():
        for server in servers:
            assert server.stop() == 0
    return Ended(end).seconds


def alone(folder, options):
    servers = [start(0, folder, options, options.pinned)]
    seconds = work(servers, options)
    return {"seconds": seconds, "cpu": stop(servers)}


def statements(postgres):
    """Calls and rows of each statement so far, by its text."""
    rows = postgres.sql("SELECT calls, replace(replace(query, E'\\n', ' '), E'\\t', ' ') FROM pg_stat_statements "
                        "WHERE dbid = (SELECT oid FROM pg_database WHERE datname = 'bench')", "postgres")
    found = {}
    for calls, query in rows:
        found[query] = found.get(query, 0) + int(calls)
    return found


def shared(count, folder, options):
    from servers import S3, S3_KEYS, Server as Database  # pylint: disable=import-outside-toplevel
    if options.pinned:
        os.sched_setaffinity(0, CORES[1:])
    postgres = Database(["fsync = on", "full_page_writes = on", "shared_preload_libraries = 'pg_stat_statements'",
                         "pg_stat_statements.track_utility = on", "pg_stat_statements.max = 5000"])
    s3 = S3("--access-log", str(folder / "access.log"))
    os.environ.update(S3_KEYS)
    try:
        postgres.value("CREATE EXTENSION pg_stat_statements")
        place = ("--store", postgres.create("bench"), "--bucket", s3.bucket("bench"))
        servers = []
        for number in range(count):
            servers.append(start(number, folder, options, options.pinned, *place))
        postgres.value("SELECT pg_stat_statements_reset()")
        log = int(postgres.value("SELECT pg_current_wal_lsn() - '0/0'"))
        begin, read = (folder / "access.log").stat().st_size, read_by(s3.process)
        seconds = work(servers, options)
        asked = statements(postgres)
        log = int(postgres.value("SELECT pg_current_wal_lsn() - '0/0'")) - log
        found = {"seconds": seconds, "cpu": stop(servers), "statements": asked, "log": log}
        with open(folder / "access.log", encoding="utf-8") as lines:
            lines.seek(begin)
            found["requests"], found["written"] = bucket_of(lines)
        found["read"] = read_by(s3.process) - read - found["written"]
        found["cpu_postgres"] = Ended(postgres.remove).seconds
        found["cpu_s3"] = Ended(s3.remove).seconds
        return found
    finally:
        for server in (postgres, s3):
            if server.process and server.process.poll() is None:
                server.remove()


def bucket_of(lines):
    """Requests by kind, and bytes of uploads, of a log in the form of S3's own: it has the sizes of what came in, not of what
    went out."""
    found, written = {}, 0
    for line in lines:
        match = re.search(r" s3_(\w+) \S+ \S+ \d+ \S+ \d+ (\d+) ", line)
        if match:
            found[match.group(1)] = found.get(match.group(1), 0) + 1
            written += int(match.group(2))
    return found, written


def read_by(process):
    """Bytes that it has read, from connections and files."""
    return int(re.search(r"rchar: (\d+)", pathlib.Path(f"/proc/{process.pid}/io").read_text()).group(1))


def show(label, found, options):
    lines = options.lines
    million = 1e6 / lines
    text = f"{label:22} {lines / found['seconds']:9,.0f} lines/s, CPU s per million lines: {found['cpu'] * million:.1f} of tranche"
    if "log" in found:
        text += f", {found['cpu_postgres'] * million:.1f} of PostgreSQL, {found['cpu_s3'] * million:.1f} of versitygw"
    print(text, flush=True)
    if "log" not in found:
        return
    thousand = 1000 / lines
    renewals = sum(calls for query, calls in found["statements"].items() if "until_us" in query and "UPDATE process" in query)
    control = sum(calls for query, calls in found["statements"].items() if re.match(r"(BEGIN|COMMIT|ROLLBACK|SET)\b", query))
    calls = sum(found["statements"].values())
    print(f"{'':22} per 1,000 lines: {(calls - control) * thousand:.1f} statements and {control * thousand:.1f} BEGIN, COMMIT, SET "
          f"({renewals} renewals in {found['seconds']:.1f} s among them), {found['log'] * thousand:,.0f} bytes of WAL; "
          f"{found['written'] * thousand:,.0f} bytes to the bucket and {found['read'] * thousand:,.0f} from it by "
          + ", ".join(f"{n * thousand:.2f} {kind}" for kind, n in sorted(found["requests"].items())), flush=True)
    if options.statements:
        for query, count in sorted(found["statements"].items(), key=lambda item: -item[1])[:60]:
            print(f"{count * thousand:10.2f} {query[:150]}")


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{len(CORES)} cores ({model.group(1) if model else platform.machine()}), {time.strftime('%Y-%m-%d')}"


CORES = sorted(os.sched_getaffinity(0))


def main():
    options = arguments()
    os.environ["TRANCHE"] = options.program
    print(f"{machine()}: bench/cluster/run.py {' '.join(sys.argv[1:])}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench", dir=os.environ.get("TMPDIR")) as name:
        folder = pathlib.Path(name)
        for part in ["alone", *options.processes.split(",")]:
            own = folder / part
            own.mkdir()
            if part == "alone":
                show("alone, SQLite", alone(own, options), options)
            else:
                show(f"shared, {part} process{'es' if part != '1' else ''}", shared(int(part), own, options), options)


if __name__ == "__main__":
    main()
