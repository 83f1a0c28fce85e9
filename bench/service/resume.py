#!/usr/bin/env python3
"""usage: bench/service/resume.py [--lines N] [--times N] [--bytes N] [--program PATH]

One job of N lines (default 200,000) of a `tranche serve` of its own, paused and resumed ten times while a
slow tranche-fake answers it. Each stretch ends as soon as it has answered a line.
Prints the seconds from the resume call to the first new answer (mean and largest; the server writes progress
every half second) and the server's CPU seconds over all stretches."""
import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "accept"))
JOBS = "/v1/projects/p1/locations/us-central1/batchPredictionJobs"
MODELS = """  - name: "slow-fake"
    kind: fake
    fake: { delay_ms: 200 }
"""


def lines(count, size):
    for i in range(count):
        text = f"Question {i}: what is it about? ".ljust(size, "x")
        yield json.dumps({"key": f"k{i}", "request": {"contents": [
            {"role": "user", "parts": [{"text": text}]}]}}) + "\n"


def cpu_s(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(server, name, there):
    while True:
        job = server.call("GET", "/v1/" + name)[1]
        if there(job):
            return job
        time.sleep(0.01)


def answered(job):
    return job["tranche"]["progress"]["succeeded"]


def measure(server, options):
    server.call("POST", "/storage/v1/b?project=p1", {"name": "bench"})
    server.upload("bench", "in.jsonl", "".join(lines(options.lines, options.bytes)))
    body = {"displayName": "resume", "model": "publishers/google/models/slow-fake",
            "inputConfig": {"instancesFormat": "jsonl",
                            "gcsSource": {"uris": ["gs://bench/in.jsonl"]}},
            "outputConfig": {"predictionsFormat": "jsonl",
                             "gcsDestination": {"outputUriPrefix": "gs://bench/out"}}}
    name = server.call("POST", JOBS, body)[1]["name"]
    seconds, cpu, done = [], 0.0, 0
    for at in range(options.times + 1):
        start, before = time.monotonic(), cpu_s(server)
        if at:
            server.call("POST", f"/v1/{name}:resume", {})
        job = wait_for(server, name, lambda j: answered(j) > done)
        stretch = time.monotonic() - start
        server.call("POST", f"/v1/{name}:pause", {})
        job = wait_for(server, name, lambda j: j["state"] == "JOB_STATE_PAUSED")
        done = answered(job)
        if at:  # the first stretch is the creation, not a resume
            seconds.append(stretch)
            cpu += cpu_s(server) - before
    print(f"{options.lines} lines of {options.bytes} bytes, resumed {options.times} times: "
          f"{sum(seconds) / len(seconds):.2f} s to the first answer (largest {max(seconds):.2f}), "
          f"{cpu:.1f} s CPU, {done} lines done")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=200000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--bytes", type=int, default=1000)
    parser.add_argument("--program", default=str(ROOT / "build" / "tranche"))
    options = parser.parse_args()
    os.environ["TRANCHE"] = options.program
    from server import Server  # pylint: disable=import-outside-toplevel

    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        server = Server(name, more=MODELS)
        try:
            measure(server, options)
        finally:
            server.stop()


main()
