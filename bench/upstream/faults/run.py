#!/usr/bin/env python3
"""usage: bench/upstream/faults/run.py [--short] [--kind NAME]... [--rate PERCENT]... [--latency MS]...
                                    [--lines N] [--build DIR]

Sends a batch to a server that fails a share of the lines on their first two attempts, one kind of fault at
a time and all mixed; to one that refuses a share of all requests by chance (Vertex AI's dynamic shared
quota); and to two gateways that limit an account (gateway.py). Prints a row for each:

  tranche   seconds of `tranche run`, from its start to the durable output
  plain     seconds of a plain client (plain.py) at the best of 16, 64 and 256 connections; a number that
            cannot be the best, as each answer takes its time, does not run
  ideal     seconds of a client that knows which attempts fail: 256 lines at once, each
            failure found as soon as it can be and tried again as soon as the server allows (computed)
  wasted    requests of tranche that were not answered, per line

It ends with 1 when tranche was slower than the plain client (by more than a tenth and half a second), or,
at 25 %, took more than 1.5 times the ideal and its start (1 s), or wasted more than the retry budget.
The whole takes about an hour; --short takes a few minutes. Build with `scripts/build --tests`."""
import argparse
import heapq
import http.client
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
IDLE_S, DRIP_MS = 2, 2  # the idle time-out of both clients; twice the latency when that is longer
FAIL_TIMES = 2
IDEAL_CONNECTIONS = 256
BUDGET = 3  # retries a line
START_S = 1.0
CONNECTIONS = (256, 64, 16)
HANGS, DRIPS = -1, -2
DRIP_S = 330 * DRIP_MS / 1000  # of the stub's answer, byte by byte
# The 15 kinds of the stub that a retry can help and that the plain client survives: how long until
# the failure is seen (None: the latency; HANGS: the idle time-out; DRIPS: it is none, but takes longer), and
# the pause that the server then asks for.
KINDS = {
    "slow-drip": (DRIPS, 0), "hang": (HANGS, 0), "reset": (None, 0), "truncated": (None, 0),
    "bad-json": (None, 0), "wrong-length": (None, 0), "bad-utf8": (None, 0), "error-200": (None, 0),
    "empty": (None, 0), "refuse": (0, 0), "tls": (0, 0), "http-429": (0, 1), "http-500": (0, 0),
    "http-502": (0, 0), "http-503": (0, 1),
}
MIXED = [kind for kind in KINDS if kind not in ("hang", "wrong-length")]
GATEWAYS = {"window": (400, 2.0), "bucket": (400, 2.0)}
SHED_MS = 50  # until an answer of the server that sheds
CONFIG = """
upstreams:
  - {{ name: far, url: "{url}", dialect: openai, idle_ms: {idle_ms}, timeout_ms: 60000 }}
models:
  - {{ name: stub, kind: upstream, upstreams: [{{ upstream: far, model: stub }}] }}
"""


def idle_s(latency):
    return max(IDLE_S, 2 * latency / 1000)


def stub_options(kind, rate, latency):
    kinds = MIXED if kind == "mixed" else [kind]
    each = 1 - (1 - rate / 100) ** (1 / len(kinds))
    options = ["--latency-ms", latency, "--drip-ms", DRIP_MS]
    for name in kinds:
        options += ["--fault", f"{name}:{each:.6f}:{FAIL_TIMES}"]
    return options


def schedule(works):
    """List scheduling of (seconds from the first attempt to the answer, of them with a connection)."""
    free, end = [0.0] * min(IDEAL_CONNECTIONS, len(works)), 0.0
    for whole, busy in sorted(works, reverse=True):
        at = heapq.heappop(free)
        heapq.heappush(free, at + busy)
        end = max(end, at + whole)
    return end


def ideal(kind, rate, latency, lines):
    chance, latency, works = random.Random(1), latency / 1000, []
    for _ in range(lines):
        busy, pause = latency, 0.0
        if chance.random() < rate / 100:
            seen, wait = KINDS[chance.choice(MIXED) if kind == "mixed" else kind]
            if kind == "wrong-length" and chance.random() < 0.5:
                seen = HANGS  # the length is too large
            seen = {None: latency, HANGS: idle_s(1000 * latency), DRIPS: DRIP_S / FAIL_TIMES}.get(seen, seen)
            busy += FAIL_TIMES * seen
            pause = FAIL_TIMES * wait
        works.append((pause + busy, busy))
    return schedule(works)


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


class Bench:
    def __init__(self, options):
        self.build, self.lines, self.wrong = pathlib.Path(options.build).resolve(), options.lines, []

    def tranche(self, port, idle):
        with tempfile.TemporaryDirectory(prefix="tranche-bench-") as name:
            folder = pathlib.Path(name)
            (folder / "c.yaml").write_text(CONFIG.format(url=f"http://127.0.0.1:{port}/v1",
                                                         idle_ms=int(idle * 1000)))
            (folder / "in.jsonl").write_text("".join(json.dumps({"key": i, "request": {"contents": [
                {"role": "user", "parts": [{"text": f"question {i}"}]}]}}) + "\n"
                for i in range(self.lines)))
            start = time.monotonic()
            done = subprocess.run(
                [self.build / "tranche", "run", "in.jsonl", "-o", "out.jsonl", "--model", "stub", "--config",
                 "c.yaml", "--state", "state", "--quiet"], cwd=folder, capture_output=True, text=True,
                check=False)
            if done.returncode != 0:
                self.wrong.append(f"tranche ended with {done.returncode}: {done.stderr[-300:]}")
            return time.monotonic() - start

    def plain(self, port, connections, idle):
        done = subprocess.run([sys.executable, HERE / "plain.py", f"http://127.0.0.1:{port}/v1",
                               str(self.lines), str(connections), str(idle)],
                              capture_output=True, text=True, check=True)
        told = json.loads(done.stdout)
        return told["seconds"] if told["answered"] == self.lines else float("inf")

    def measure(self, start, stats_path, latency, idle=IDLE_S):
        """Seconds of tranche and of the plain client, and what tranche made the server count."""
        process, port = start()
        try:
            mine = self.tranche(port, idle)
            stats = get(port, stats_path)
        finally:
            process.kill()
            process.wait()
        plain = float("inf")
        for connections in CONNECTIONS:
            if self.lines / connections * latency / 1000 > plain:
                break  # so few cannot be faster
            process, port = start()
            try:
                plain = min(plain, self.plain(port, connections, idle))
            finally:
                process.kill()
                process.wait()
        return mine, plain, stats

    def row(self, name, mine, plain, best, requests, strict):
        wasted = requests / self.lines - 1
        problems = []
        if mine > 1.1 * plain + 0.5:
            problems.append("slower than the plain client")
        if strict and best and mine > 1.5 * best + START_S:
            problems.append("over 1.5 times the ideal")
        if wasted > BUDGET:
            problems.append("over the retry budget")
        self.wrong += [f"{name}: {p}" for p in problems]
        shown = f"{best:8.1f}" if best else "       -"
        print(f"{name:34} {mine:8.1f} {plain:8.1f} {shown} {wasted:8.2f}  {', '.join(problems) or 'ok'}",
              flush=True)

    def stub(self, *options):
        def start():
            process = subprocess.Popen(
                [self.build / "tests" / "stub" / "upstream_stub", "--with-parent", *map(str, options)],
                stdout=subprocess.PIPE, text=True)
            return process, int(process.stdout.readline().rsplit(":", 1)[1])
        return start

    def fault(self, kind, rate, latency):
        mine, plain, stats = self.measure(self.stub(*stub_options(kind, rate, latency)), "/stub/stats",
                                          latency, idle_s(latency))
        self.row(f"{kind} {rate} % {latency} ms", mine, plain, ideal(kind, rate, latency, self.lines),
                 stats["requests"], rate == 25)

    def shed(self, rate):
        """Vertex AI's dynamic shared quota: a share of the requests, by chance, is refused at once with
        429 and without a header."""
        start = self.stub("--latency-ms", SHED_MS, "--retry-after-ms", 0, "--fault", f"http-429:{rate}%")
        mine, plain, stats = self.measure(start, "/stub/stats", SHED_MS)
        best = schedule([(SHED_MS / 1000, SHED_MS / 1000)] * self.lines)
        self.row(f"shed {rate} % {SHED_MS} ms", mine, plain, best, stats["requests"], True)

    def gateway(self, kind):
        per_window, window_s = GATEWAYS[kind]

        def start():
            process = subprocess.Popen(
                [sys.executable, HERE / "gateway.py", kind, str(per_window), str(window_s)],
                stdout=subprocess.PIPE, text=True)
            return process, int(process.stdout.readline())

        mine, plain, stats = self.measure(start, "/stats", 0)
        best = (self.lines / per_window - 1) * window_s
        self.row(f"gateway {kind}", mine, plain, best, stats["answered"] + stats["refused"], True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.replace("%", "%%"))
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--kind", action="append", choices=[*KINDS, "mixed", "shed", *GATEWAYS])
    parser.add_argument("--rate", action="append", type=int)
    parser.add_argument("--latency", action="append", type=int)
    parser.add_argument("--lines", type=int, default=0)
    parser.add_argument("--build", default=ROOT / "build")
    o = parser.parse_args()
    o.lines = o.lines or (1000 if o.short else 2000)
    some = ["http-429", "http-500", "reset", "hang", "mixed", "shed", *GATEWAYS]
    kinds = o.kind or (some if o.short else [*KINDS, "mixed", "shed", *GATEWAYS])
    bench = Bench(o)
    print(f"{o.lines} lines, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n"
          f"{'':34}  tranche    plain    ideal   wasted")
    latencies = o.latency or ([5, 500] if o.short else [5, 500, 2000])
    rates = o.rate or ([25] if o.short else [1, 10, 25])
    for latency in latencies:
        for rate in rates:
            for kind in kinds:
                if kind in KINDS or kind == "mixed":
                    bench.fault(kind, rate, latency)
    for kind in kinds:
        if kind in GATEWAYS:
            bench.gateway(kind)
        elif kind == "shed":
            bench.shed(25)
    if bench.wrong:
        sys.exit("\n".join(bench.wrong))


main()
