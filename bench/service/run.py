#!/usr/bin/env python3
"""usage: bench/service/run.py [--only PART]... [--lines N] [--jobs N] [--megabytes N] [--program PATH]

Measures a `tranche serve` of its own, on this machine and with tranche-fake:
  one        N lines (default 200,000) in one job: lines/s from create to the finished output
  paused     the same job, paused and resumed ten times on its way
  many       N jobs (default 1,000) of 200 lines each
  objects    upload and download of one object, against copying and syncing the same file (peer: cp)
  calls      create, get and list: requests/s and latency, by wrk (apt: wrk) on 1 and 32 connections
Memory is the server's largest resident set. Prints one line a figure."""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "accept"))
PAUSES = 10
JOBS = "/v1/projects/p1/locations/us-central1/batchPredictionJobs"
FINAL = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED")


def resident_mib(server, field="VmHWM"):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(field + r":\s+(\d+)", text).group(1)) / 1024


def cpu_s(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def job_body(uri):
    return {"displayName": "bench", "model": "publishers/google/models/tranche-fake",
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [uri]}},
            "outputConfig": {"predictionsFormat": "jsonl",
                             "gcsDestination": {"outputUriPrefix": "gs://bench/out"}}}


def lines(count):
    return "".join(json.dumps({"key": f"k{i}", "request": {"contents": [
        {"role": "user", "parts": [{"text": f"Question {i}: what is it about?"}]}]}}) + "\n"
        for i in range(count))


def wrk(url, connections, seconds, folder, body=None):
    """Requests/s, p50 and p99."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if body is not None:
        script = folder / "post.lua"
        script.write_text('wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
                          "wrk.body = [==[" + json.dumps(body) + "]==]\n")
        command += ["-s", str(script)]
    text = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)
    p50, p99 = (re.search(p + r"%\s+(\S+)", text).group(1) for p in ("50", "99"))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return f"{float(rate):8.0f}/s  p50 {p50:>8}  p99 {p99:>8}" + (
        f"  ({bad.group(1)} refused)" if bad else "")


def bench_calls(server, folder):
    server.upload("bench", "one.jsonl", lines(1))
    job = server.call("POST", JOBS, job_body("gs://bench/one.jsonl"))[1]
    wait(server, [job["name"]])
    for connections in (1, 32):
        print(f"get      {connections:3} conn {wrk(server.url + '/v1/' + job['name'], connections, 3, folder)}")
    for connections in (1, 32):
        rate = wrk(server.url + JOBS, connections, 3, folder, job_body("gs://bench/missing.jsonl"))
        print(f"create   {connections:3} conn {rate}")
    while server.call("GET", JOBS + '?pageSize=1&filter=state%3D"JOB_STATE_PENDING"')[1]:
        time.sleep(0.1)
    for connections in (1, 32):
        url = server.url + JOBS + "?pageSize=20"
        print(f"list 20  {connections:3} conn {wrk(url, connections, 3, folder)}")


def timed(command):
    start = time.monotonic()
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def bench_objects(server, folder, megabytes):
    source = folder / "source"
    with open(source, "wb") as out:
        for _ in range(megabytes):
            out.write(os.urandom(1 << 20))
    copy = min(timed(f"cp {source} {folder}/copy && sync {folder}/copy && rm {folder}/copy")
               for _ in range(3))
    name = f"{server.url}/upload/storage/v1/b/bench/o?uploadType=media&name=big"
    up = min(timed(f"curl -sf -X POST -T {source} '{name}'") for _ in range(3))
    url = f"{server.url}/storage/v1/b/bench/o/big?alt=media"
    down = min(timed(f"curl -sf '{url}' -o {folder}/down") for _ in range(3))
    for what, seconds in (("cp and sync", copy), ("upload", up), ("download", down)):
        print(f"{what:12} {megabytes} MiB: {megabytes / seconds:7.0f} MiB/s")
    print(f"memory after: {resident_mib(server):.0f} MiB at most")


def wait(server, names):
    for name in names:
        while True:
            job = server.call("GET", "/v1/" + name)[1]
            if job["state"] in FINAL:
                assert job["state"] == "JOB_STATE_SUCCEEDED", job
                break
            time.sleep(0.05)


def bench_jobs(server, count, size):
    server.upload("bench", "in.jsonl", lines(size))
    cpu, start = cpu_s(server), time.monotonic()
    names = [server.call("POST", JOBS, job_body("gs://bench/in.jsonl"))[1]["name"]
             for _ in range(count)]
    wait(server, names)
    seconds, total = time.monotonic() - start, count * size
    print(f"{count:5} x {size:6} lines: {seconds:6.1f} s, {total / seconds:7.0f} lines/s, "
          f"{(cpu_s(server) - cpu) / total * 1e6:5.0f} us CPU a line, "
          f"{resident_mib(server):.0f} MiB at most")


def until(server, name, done):
    """The job's resource, once done(resource) is true or the job has ended."""
    while True:
        job = server.call("GET", "/v1/" + name)[1]
        if done(job) or job["state"] in FINAL:
            return job
        time.sleep(0.02)


def bench_paused(server, size):
    """Pauses the job each time another eleventh of its lines is done."""
    server.upload("bench", "in.jsonl", lines(size))
    cpu, start, pauses = cpu_s(server), time.monotonic(), 0
    name = server.call("POST", JOBS, job_body("gs://bench/in.jsonl"))[1]["name"]
    for part in range(1, PAUSES + 1):
        wanted = size * part // (PAUSES + 1)
        job = until(server, name, lambda j: j.get("tranche", {}).get("progress", {})
                    .get("succeeded", 0) >= wanted)  # pylint: disable=cell-var-from-loop
        if job["state"] in FINAL or server.call("POST", f"/v1/{name}:pause", {})[0] != 200:
            break
        pauses += until(server, name, lambda j: j["state"] == "JOB_STATE_PAUSED")["state"] not in FINAL
        server.call("POST", f"/v1/{name}:resume", {})
    wait(server, [name])
    seconds = time.monotonic() - start
    print(f"paused {pauses:2} times, {size:6} lines: {seconds:6.1f} s, {size / seconds:7.0f} lines/s, "
          f"{(cpu_s(server) - cpu) / size * 1e6:5.0f} us CPU a line, {resident_mib(server):.0f} MiB at most")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=["one", "paused", "many", "objects", "calls"])
    parser.add_argument("--lines", type=int, default=200000)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--program", default=str(ROOT / "build" / "tranche"))
    options = parser.parse_args()
    os.environ["TRANCHE"] = options.program
    from server import Server  # pylint: disable=import-outside-toplevel

    parts = {"one": lambda s, f: bench_jobs(s, 1, options.lines),
             "paused": lambda s, f: bench_paused(s, options.lines),
             "many": lambda s, f: bench_jobs(s, options.jobs, 200),
             "objects": lambda s, f: bench_objects(s, f, options.megabytes),
             "calls": bench_calls}
    for name in options.only or parts:
        measure = parts[name]
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            server = Server(folder)
            server.call("POST", "/storage/v1/b?project=p1", {"name": "bench"})
            try:
                measure(server, pathlib.Path(folder))
            finally:
                server.stop()


main()
