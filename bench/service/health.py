#!/usr/bin/env python3
"""usage: bench/service/health.py [--calls N] [--program PATH]

The latency of GET /healthz over one kept connection, while the server does nothing and while the embedded
model computes a job on all cores. Prints p50, p99 and the largest of N calls each (default 2,000); the client is
on the same cores."""
import argparse
import json
import os
import pathlib
import socket
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "accept"))
JOBS = "/v1/projects/p1/locations/us-central1/batchPredictionJobs"
PAUSE_S = 0.002  # between calls: a check is rare, and must not keep a core for itself


def latencies(server, count, pause_s=PAUSE_S):
    """Seconds of each of `count` calls, sorted."""
    host, port = server.url.removeprefix("http://").split(":")
    ask = f"GET /healthz HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    found = []
    with socket.create_connection((host, int(port))) as to:
        to.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            start = time.monotonic()
            to.sendall(ask)
            answer = b""
            while not answer.endswith(b"\r\n\r\nok\n"):
                piece = to.recv(4096)
                assert piece, answer
                answer += piece
            found.append(time.monotonic() - start)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            time.sleep(pause_s)
    return sorted(found)


def quantile(found, part):
    return found[min(len(found) - 1, int(len(found) * part))]


def compute(server, lines=2000):
    """Starts a job that keeps the model busy, and waits for its first answer; the job's name."""
    text = "".join(json.dumps({"request": {
        "contents": [{"role": "user", "parts": [{"text": f"Tell a long story of the number {i}."}]}],
        "generationConfig": {"maxOutputTokens": 400}}}) + "\n" for i in range(lines))
    server.upload("bench", "in.jsonl", text)
    body = {"displayName": "health", "model": "publishers/google/models/smollm2-135m-instruct",
            "inputConfig": {"instancesFormat": "jsonl",
                            "gcsSource": {"uris": ["gs://bench/in.jsonl"]}},
            "outputConfig": {"predictionsFormat": "jsonl",
                             "gcsDestination": {"outputUriPrefix": "gs://bench/out"}}}
    status, job = server.call("POST", JOBS, body)
    assert status == 200, job
    name = job["name"]
    while server.call("GET", "/v1/" + name)[1]["state"] != "JOB_STATE_RUNNING":
        time.sleep(0.05)
    return name


def show(label, found):
    print(f"{label:9} p50 {quantile(found, 0.5) * 1e3:.2f} ms, p99 {quantile(found, 0.99) * 1e3:.2f} ms, "
          f"largest {found[-1] * 1e3:.2f} ms ({len(found)} calls)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--program", default=str(ROOT / "build" / "tranche"))
    options = parser.parse_args()
    os.environ["TRANCHE"] = options.program
    from server import Server  # pylint: disable=import-outside-toplevel

    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        server = Server(name, config="")
        try:
            show("idle", latencies(server, options.calls))
            job = compute(server)
            show("computing", latencies(server, options.calls))
            server.call("POST", f"/v1/{job}:cancel", {})
        finally:
            server.stop()


if __name__ == "__main__":
    main()
