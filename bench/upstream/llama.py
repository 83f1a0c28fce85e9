#!/usr/bin/env python3
"""usage: bench/upstream/llama.py [--runs N] [--lines N] [--slots N] [--workload NAME]...

Sends workloads through a real llama-server: by `tranche run --upstream`, and by a plain client that
keeps as many connections open as the server has slots, twice and four times as many. They take
turns, each with a server of its own that is started before the clock. A row is the median of the runs
with their range, and how many tokens of prompts the server computed and found in its cache.

  classify500   500 short requests, one system instruction
  summarise100  100 long requests, nothing to share
  prefixes      the texts of classify500 under 8 system instructions, in random order: there the plain
                client also sends them in order of their instructions

environment: TRANCHE, LLAMA_SERVER  the programs (defaults: build/tranche; what scripts/setup --test made)
             MODEL                  the GGUF     (default: the default model)
"""
import argparse
import http.client
import json
import os
import pathlib
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import llama_server  # noqa: E402

WORKLOADS = ROOT / "bench" / "workloads"
# Cells a request may need: (prompt and answer), rounded up.
CELLS = {"classify500": 384, "summarise100": 768, "prefixes": 384}
PREFIXES = 8
PREFIX_LINES = 240


def requests_of(file, count=None):
    lines = (WORKLOADS / f"{file}.jsonl").read_text().splitlines()
    return [json.loads(line)["request"] for line in lines[:count]]


def system_text(request):
    return request["systemInstruction"]["parts"][0]["text"] if "systemInstruction" in request else ""


def prefixes():
    """Every instruction differs in its first words, so that nothing but the model's own preamble is
    common to two of them."""
    found = requests_of("classify500", PREFIX_LINES)
    for number, request in enumerate(found):
        group = number % PREFIXES
        text = f"Desk {group} of {PREFIXES}. " + system_text(request)
        request["systemInstruction"] = {"parts": [{"text": text}]}
    random.Random(1).shuffle(found)
    return found


def workload(name, count):
    found = prefixes() if name == "prefixes" else requests_of(name)
    return found[:count] if count else found


def chat_body(request):
    """The chat body that tranche makes of the request."""
    messages = [{"role": "user", "content": request["contents"][0]["parts"][0]["text"]}]
    if system_text(request):
        messages.insert(0, {"role": "system", "content": system_text(request)})
    config = request["generationConfig"]
    return json.dumps({"model": llama_server.NAME, "messages": messages,
                       "temperature": config["temperature"], "max_tokens": config["maxOutputTokens"]})


def send_all(port, bodies, connections):
    """All of them in this order over that many connections; raises what went wrong."""
    todo, failed = queue.SimpleQueue(), []
    for body in bodies:
        todo.put(body)

    def work():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            while True:
                connection.request("POST", "/v1/chat/completions", todo.get_nowait(),
                                   {"Content-Type": "application/json"})
                reply = connection.getresponse()
                if b'"choices"' not in reply.read():
                    raise RuntimeError(f"status {reply.status}")
        except queue.Empty:
            connection.close()
        except Exception as problem:  # a thread's failure must not be lost
            failed.append(problem)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def run_plain(server, found, connections):
    bodies = [chat_body(r) for r in found]
    begun = time.monotonic()
    send_all(server.port, bodies, connections)
    return time.monotonic() - begun


def run_tranche(server, found, program):
    """The whole command, from its start to the renamed output."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "in.jsonl").write_text("".join(json.dumps({"request": r}) + "\n" for r in found))
        command = [program, "run", "in.jsonl", "-o", "out.jsonl", "--upstream", server.url,
                   "--model", llama_server.NAME, "--state", "state"]
        begun = time.monotonic()
        subprocess.run(command, cwd=path, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.monotonic() - begun
        rows = (path / "out.jsonl").read_text().splitlines()
    if len(rows) != len(found) or any("response" not in json.loads(row) for row in rows):
        sys.exit("tranche did not answer every line")
    return seconds


def sides_of(name, found, args):
    """The sides that are compared: each a label and a function that takes a server and returns seconds."""
    sides = {"tranche": lambda server: run_tranche(server, found, args.tranche)}
    for factor in (1, 2, 4):
        count = factor * args.slots
        sides[f"plain {count}"] = lambda server, count=count: run_plain(server, found, count)
    if name == "prefixes":
        ordered = sorted(found, key=system_text)
        sides[f"plain {args.slots}, ordered"] = (
            lambda server: run_plain(server, ordered, args.slots))
    return sides


def measure_side(name, args, run):
    cells = CELLS[name] * args.slots
    with llama_server.running("-np", args.slots, "-c", cells, "-fa", "on", "-kvu", "-cram", 0,
                              "-t", args.threads, "-tb", args.threads) as server:
        seconds = run(server)
        return (seconds, *server.prompt_tokens())


def report(name, side, count, runs):
    rates = sorted(count / seconds for seconds, _, _ in runs)
    _, computed, cached = runs[-1]
    print(f"{name:14} {side:18} {statistics.median(rates):6.2f} ({rates[0]:.2f}-{rates[-1]:.2f})"
          f" requests/s {computed:7} computed {cached:7} cached", flush=True)
    return statistics.median(rates)


def measure(name, args):
    found = workload(name, args.lines)
    sides = sides_of(name, found, args)
    runs = {side: [] for side in sides}
    for _ in range(args.runs):
        for side, run in sides.items():
            runs[side].append(measure_side(name, args, run))
            print(f"  {side}: {runs[side][-1][0]:.1f} s", file=sys.stderr, flush=True)
    rates = {side: report(name, side, len(found), r) for side, r in runs.items()}
    best = max(rate for side, rate in rates.items() if side != "tranche" and "ordered" not in side)
    print(f"{name:14} tranche / best plain client: {rates['tranche'] / best:.3f}", flush=True)


def find_server():
    """The newest one in the cache, unless the environment names one."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tranche"
    cache = pathlib.Path(os.environ.get("TRANCHE_CACHE", cache))
    made = sorted(cache.glob("llama-server-*/.done"), key=lambda p: p.stat().st_mtime)
    if not made:
        sys.exit("no llama-server: run scripts/setup --test, or set LLAMA_SERVER")
    return str(made[-1].parent / "bin" / "llama-server")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lines", type=int, default=0, help="of each workload; 0: all")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--workload", action="append", choices=sorted(CELLS))
    args = parser.parse_args()
    args.tranche = os.path.abspath(os.environ.get("TRANCHE", ROOT / "build" / "tranche"))
    if not llama_server.program():
        os.environ["LLAMA_SERVER"] = find_server()
    for name in args.workload or sorted(CELLS):
        measure(name, args)


if __name__ == "__main__":
    main()
