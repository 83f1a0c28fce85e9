#!/usr/bin/env python3
"""usage: bench/upstream/run.py [--runs N] [--lines N] [--scenario NAME]... [--side NAME]...
                             [--build DIR]

Sends a batch of short, distinct requests to a stub of an inference server (tests/stub) in several ways,
taking turns, and prints a table: lines/s (median and range of the runs), CPU time a line and peak memory
of the client, and how busy the stub was.

scenarios  instant   answers at once
           latency   after 50 ms, as many at once as are sent
           slots     after 50 ms, 64 at once, the others wait
sides      tranche   `tranche run`: the whole command, from its start to the durable, renamed output
           bare      a load generator that sends and counts, nothing else: the limit
           wrk       the same by wrk, when it is installed
           openai, openai-aiohttp, litellm
                     Python clients, from the first request to the last row written; their imports are
                     not counted. They are installed into tranche's cache when they are first used.

Build with `scripts/build --tests`; --build names another build folder, --lines how many lines go through
tranche and bare."""
import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path += [str(HERE), str(ROOT / "tests" / "e2e")]
PATH = "/v1/chat/completions"
WRK_SECONDS = 3
PEER_CONCURRENCY = 256

# Per scenario: the stub's options; lines of tranche and bare; bare's connections, at which it was fastest.
SCENARIOS = {
    "instant": ([], 20000, 64),
    "latency": (["--latency-ms", 50], 100000, 1024),
    "slots": (["--latency-ms", 50, "--slots", 64], 20000, 128),
}
PEERS = {
    "openai": ("openai_sdk.py", 2000, ["httpx"]),
    "openai-aiohttp": ("openai_sdk.py", 2000, ["aiohttp"]),
    "litellm": ("litellm_sdk.py", 600, []),
}


def run_measured(command, folder, **options):
    """Standard output, seconds, and what the process used. The peak is of GNU time: our own size at the
    moment of the fork would count for the child that we wait for."""
    peak = folder / "peak"
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(["/usr/bin/time", "-f", "%M", "-o", peak, *map(str, command)],
                                   stdout=out, stderr=err, stdin=subprocess.DEVNULL, **options)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (out, err):
            stream.seek(0)
        if process.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}: exit {process.returncode}\n{err.read()[-3000:]}")
        return out.read(), {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime,
                            "peak": int(peak.read_text()) / 1024}


class Bench:
    def __init__(self, options, folder):
        import workload  # pylint: disable=import-outside-toplevel
        self.build, self.folder, self.count = pathlib.Path(options.build).resolve(), folder, options.lines
        self.lines = list(workload.lines(max(self.count, *(n for _, n, _ in SCENARIOS.values()))))
        self.texts = [workload.messages_of(line)[1]["content"] for line in self.lines]
        self.bodies = [workload.chat_body(line) for line in self.lines]
        self.commands = {}

    def write(self, name, lines):
        path = self.folder / name
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def run(self, side, stub, command, **options):
        """Runs it, and remembers it for the report with short names."""
        text = " ".join(map(str, command))
        for long, short in ((f"{self.folder}/", ""), (f"{ROOT}/", ""), (str(stub.port), "PORT")):
            text = text.replace(long, short)
        self.commands[side] = re.sub(r"\S*/bin/python", "python", text)
        return run_measured(command, self.folder, **options)

    def lines_of(self, scenario):
        return self.count or SCENARIOS[scenario][1]

    def tranche(self, stub, scenario):
        count = self.lines_of(scenario)
        source, output = self.write("in.jsonl", self.lines[:count]), self.folder / "out.jsonl"
        state = self.folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        output.unlink(missing_ok=True)
        _, used = self.run("tranche", stub, [
            self.build / "tranche", "run", source, "--upstream", stub.url + "/v1", "--model", "stub",
            "-o", output, "--state", state, "--quiet"])
        self.check(output, count)
        return {**used, "lines": count}

    def check(self, output, count):
        """Each row has the answer of its own line."""
        index = 0
        with open(output, encoding="utf-8") as rows:
            for row in rows:
                parts = json.loads(row)["response"]["candidates"][0]["content"]["parts"]
                if parts[0]["text"] != "echo: " + self.texts[index]:
                    sys.exit(f"tranche: row {index + 1} has another line's answer")
                index += 1
        if index != count:
            sys.exit(f"tranche: {index} rows for {count} lines")

    def bare(self, stub, scenario):
        count = self.lines_of(scenario)
        bodies = self.write("bodies", self.bodies[:count])
        out, used = self.run("bare", stub, [
            self.build / "bench" / "upstream" / "upstream_bare", stub.port, PATH, bodies,
            SCENARIOS[scenario][2]])
        told = json.loads(out)
        if told["answered"] != count:
            sys.exit(f"bare: {told}")
        return {"lines": count, "seconds": told["seconds"], "cpu": told["cpu_seconds"],
                "peak": used["peak"]}

    def wrk(self, stub, scenario):
        bodies = self.write("bodies", self.bodies)
        command = ["wrk", "-t1", f"-c{SCENARIOS[scenario][2]}", f"-d{WRK_SECONDS}s", "-s",
                   HERE / "post.lua", stub.url + PATH]
        out, used = self.run("wrk", stub, command, env={**os.environ, "BODIES": str(bodies)})
        count, seconds = re.search(r"(\d+) requests in ([\d.]+)s", out).groups()
        if "Non-2xx" in out:
            sys.exit(f"wrk: {out}")
        return {**used, "lines": int(count), "seconds": float(seconds)}

    def peer(self, stub, side):
        script, count, more = PEERS[side]
        source, output = self.write("in.jsonl", self.lines[:count]), self.folder / "out.jsonl"
        out, used = self.run(side, stub, [
            peers_python(), HERE / script, stub.url + "/v1", source, output, PEER_CONCURRENCY, *more])
        told = json.loads(out.splitlines()[-1])
        if told["failed"]:
            sys.exit(f"{side}: {told['failed']} failed: {output.read_text()[:500]}")
        return {"lines": count, "seconds": told["seconds"], "cpu": told["cpu_seconds"],
                "peak": used["peak"]}

    def measure(self, stub, scenario, side):
        before = stub.stats()["cpu_seconds"]
        stub.reset()
        if side in PEERS:
            result = self.peer(stub, side)
        else:
            result = getattr(self, side)(stub, scenario)
        stats = stub.stats()
        return {**result, "busy": stats["busy_mean"], "idle": stats["idle_share"],
                "stub_cpu": stats["cpu_seconds"] - before}


def peers_python():
    command = f"set -e; source {ROOT}/scripts/lib.sh; client_dir peers"
    folder = pathlib.Path(subprocess.check_output(["bash", "-c", command], text=True).strip())
    if not (folder / ".done").exists():
        subprocess.run([ROOT / "scripts" / "setup", "--bench"], check=True)
    return folder / "bin" / "python"


def report(scenario, side, runs):
    """One row; the median rate."""
    rates = sorted(r["lines"] / r["seconds"] for r in runs)
    middle, peak = statistics.median(rates), max(r["peak"] for r in runs)
    cpu = statistics.median(r["cpu"] / r["lines"] for r in runs) * 1e6
    stub = statistics.median(r["stub_cpu"] / r["lines"] for r in runs) * 1e6
    span = f"({rates[0]:.0f}-{rates[-1]:.0f})"
    busy = statistics.median(r["busy"] for r in runs)
    idle = statistics.median(r["idle"] for r in runs)
    work = f"{busy:7.1f} {idle:6.1%}" if busy else f"{'-':>7} {'-':>6}"  # no time passes in 0 ms
    print(f"{scenario:8} {side:15} {middle:8.0f} {span:15} {cpu:8.1f} {peak:6.0f} MiB {work} {stub:7.1f}",
          flush=True)
    return middle


def measure_scenario(bench, scenario, sides, count):
    from upstream import Upstream  # pylint: disable=import-outside-toplevel
    runs = {side: [] for side in sides}
    with Upstream(*SCENARIOS[scenario][0]) as stub:
        for _ in range(count):
            for side in sides:
                runs[side].append(bench.measure(stub, scenario, side))
    rates = {side: report(scenario, side, r) for side, r in runs.items()}
    for limit in ("bare", *PEERS):
        if "tranche" in rates and limit in rates:
            print(f"{scenario:8} tranche / {limit}: {rates['tranche'] / rates[limit]:.2f}", flush=True)


def describe_machine():
    cpu = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    model = re.search(r"Model name:\s+(.*)", cpu)
    print(f"{datetime.date.today()}, {len(os.sched_getaffinity(0))} cores of "
          f"{model.group(1) if model else 'an unknown processor'}")


def main():
    sides = ["tranche", "bare", "wrk", *PEERS]
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lines", type=int, default=0, help="of tranche and bare; 0: by scenario")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS))
    parser.add_argument("--side", action="append", choices=sides)
    parser.add_argument("--build", default=str(ROOT / "build"))
    options = parser.parse_args()
    os.environ["TRANCHE"] = str(pathlib.Path(options.build).resolve() / "tranche")
    wanted = [s for s in options.side or sides if s != "wrk" or shutil.which("wrk")]
    describe_machine()
    print("scenario side             lines/s (range)         us CPU a line   peak    busy   idle"
          "  us of the stub a line")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        bench = Bench(options, pathlib.Path(name))
        for scenario in options.scenario or SCENARIOS:
            measure_scenario(bench, scenario, wanted, options.runs)
        for side, command in bench.commands.items():
            print(f"{side:15} {command}")


main()
