#!/usr/bin/env python3
"""usage: bench/engine/run.py [--runs N] [--lines N] [--concurrency 4,8,16] [--workload NAME]...
                           [--no-plain] [--peer NAME=COMMAND]...

Runs the workloads through `tranche run`, on the native runtime and with `engine: plain`, and through
llama-server on the same model file, taking turns, and prints a table: requests/s, prompt and generated
tokens/s, peak memory, prompt tokens reused.
A figure is the median of the runs; the range stands beside it. The whole command of tranche is timed;
of others their start is not counted. A peer's command gets the workload on its standard input and
prints a line of figures: bench/engine/peers has those for OpenVINO GenAI and vLLM.

environment: TRANCHE      the program            (default: build/tranche)
             LLAMA_BIN    folder of llama-server (without it only tranche is measured)
             MODEL        the GGUF               (default: the one that build/ was set up with)
"""
import argparse
import http.client
import json
import os
import pathlib
import queue
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORKLOADS = ROOT / "bench" / "workloads"
START_SECONDS = 60
# Cells a request may need, for llama-server's context: (prompt and answer), rounded up.
CELLS = {"classify500": 384, "summarise100": 768}


def default_model(name):
    cache = ROOT / "build" / "CMakeCache.txt"
    for line in cache.read_text().splitlines() if cache.exists() else []:
        if line.startswith("TRANCHE_DEPS:"):
            return str(pathlib.Path(line.split("=", 1)[1]) / "models" / f"{name}.gguf")
    return ""


def peak_mib(pid):
    """The peak resident set so far, in MiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0


class Watch(threading.Thread):
    """Follows the peak memory of a process that ends by itself."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak = pid, 0

    def run(self):
        try:
            while True:
                self.peak = max(self.peak, peak_mib(self.pid))
                time.sleep(0.05)
        except (OSError, ValueError):
            pass


def read_lines(name, count):
    lines = (WORKLOADS / f"{name}.jsonl").read_text().splitlines()
    return lines[:count] if count else lines


def run_tranche(lines, args, engine):
    """One `tranche run` from an empty state; the figures are of its own summary and output."""
    config = {"models": [{"name": args.name, "file": os.path.abspath(args.model), "engine": engine}]}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "in.jsonl").write_text("\n".join(lines) + "\n")
        (path / "config.yaml").write_text(json.dumps(config))
        command = [args.tranche, "run", str(path / "in.jsonl"), "-o", str(path / "out.jsonl"),
                   "--model", args.name, "--state", str(path / "state"), "--json",
                   "--config", str(path / "config.yaml")]
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        watch = Watch(process.pid)
        watch.start()
        _, errors = process.communicate()
        seconds = time.monotonic() - begun
        if process.returncode != 0:
            sys.exit(f"tranche failed with {process.returncode}:\n{errors[-2000:]}")
        usage = [json.loads(row)["response"]["usageMetadata"]
                 for row in (path / "out.jsonl").read_text().splitlines()]
    return {
        "seconds": seconds,
        "prompt": sum(u["promptTokenCount"] for u in usage),
        "generated": sum(u.get("candidatesTokenCount", 0) for u in usage),
        "reused": sum(u.get("cachedContentTokenCount", 0) for u in usage),
        "peak": watch.peak,
    }


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_ready(port, process):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit("llama-server ended at once")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    sys.exit("llama-server did not start")


def chat_body(line):
    """The same request for /v1/chat/completions."""
    request = json.loads(line)["request"]
    messages = [{"role": "user", "content": request["contents"][0]["parts"][0]["text"]}]
    if "systemInstruction" in request:
        system = request["systemInstruction"]["parts"][0]["text"]
        messages.insert(0, {"role": "system", "content": system})
    return json.dumps({
        "messages": messages, "temperature": 0, "cache_prompt": True,
        "max_tokens": request["generationConfig"]["maxOutputTokens"],
    })


def ask_all(port, lines, concurrency):
    """All requests over `concurrency` keep-alive connections; the usages."""
    todo, usages, failed = queue.SimpleQueue(), [], []
    for line in lines:
        todo.put(chat_body(line))

    def work():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            while True:
                body = todo.get_nowait()
                connection.request("POST", "/v1/chat/completions", body,
                                   {"Content-Type": "application/json"})
                usages.append(json.loads(connection.getresponse().read())["usage"])
        except queue.Empty:
            pass
        except Exception as problem:  # a thread's failure must not be lost
            failed.append(problem)

    threads = [threading.Thread(target=work) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"llama-server: {failed[0]!r}")
    return usages


def run_server(name, lines, args, concurrency):
    """One llama-server, started for this run; its start is not counted."""
    port = free_port()
    command = [str(pathlib.Path(args.llama_bin) / "llama-server"), "-m", args.model,
               "-np", str(concurrency), "-c", str(CELLS[name] * concurrency), "-b", "2048",
               "-ub", "512", "-fa", "on", "-kvu", "-cram", "0", "--no-webui",
               "-t", str(args.threads), "-tb", str(args.threads),
               "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_ready(port, process)
        begun = time.monotonic()
        usages = ask_all(port, lines, concurrency)
        seconds = time.monotonic() - begun
        peak = peak_mib(process.pid)
    finally:
        process.terminate()
        process.wait()
    return {
        "seconds": seconds,
        "prompt": sum(u["prompt_tokens"] for u in usages),
        "generated": sum(u["completion_tokens"] for u in usages),
        "reused": sum((u.get("prompt_tokens_details") or {}).get("cached_tokens", 0) for u in usages),
        "peak": peak,
    }


def run_peer(command, lines):
    """Another engine; its start is its own figure."""
    done = subprocess.run(shlex.split(command), input="\n".join(lines) + "\n", text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        sys.exit(f"{command} failed with {done.returncode}:\n{done.stderr[-2000:]}")


def report(name, side, count, runs):
    rates = sorted(count / r["seconds"] for r in runs)
    middle = statistics.median(rates)
    last = runs[-1]
    print(f"{name:14} {side:18} {middle:6.2f} ({rates[0]:.2f}-{rates[-1]:.2f}) requests/s"
          f" {last['prompt'] * middle / count:8.0f} prompt/s {last['generated'] * middle / count:6.0f}"
          f" generated/s {last['peak']:6} MiB {last['reused']:7} reused"
          f" {last.get('start', 0):5.1f} s start", flush=True)
    return middle


def measure(name, args):
    lines = read_lines(name, args.lines)
    sides = {"tranche": lambda: run_tranche(lines, args, "fast")}
    if args.plain:
        sides["tranche, plain"] = lambda: run_tranche(lines, args, "plain")
    for peer in args.peer:
        side, command = peer.split("=", 1)
        sides[side] = lambda command=command: run_peer(command, lines)
    if args.llama_bin:
        for c in args.concurrency:
            sides[f"llama-server {c}"] = lambda c=c: run_server(name, lines, args, c)
    runs = {side: [] for side in sides}
    for _ in range(args.runs):
        for side, run in sides.items():
            runs[side].append(run())
    rates = {side: report(name, side, len(lines), r) for side, r in runs.items()}
    for side, rate in rates.items():
        if side != "tranche":
            print(f"{name:14} tranche / {side}: {rates['tranche'] / rate:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lines", type=int, default=0, help="of each workload; 0: all")
    parser.add_argument("--concurrency", default="2,4,8,16")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--workload", action="append", choices=sorted(CELLS))
    parser.add_argument("--no-plain", dest="plain", action="store_false")
    parser.add_argument("--peer", action="append", default=[])
    args = parser.parse_args()
    args.concurrency = [int(c) for c in args.concurrency.split(",")]
    args.tranche = os.environ.get("TRANCHE", str(ROOT / "build" / "tranche"))
    args.llama_bin = os.environ.get("LLAMA_BIN", "")
    args.name = "smollm2-135m-instruct"
    args.model = os.environ.get("MODEL") or default_model(args.name)
    if not os.path.exists(args.model):
        sys.exit("set MODEL to a GGUF file")
    for name in args.workload or sorted(CELLS):
        measure(name, args)


if __name__ == "__main__":
    main()
