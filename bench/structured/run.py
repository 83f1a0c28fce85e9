#!/usr/bin/env python3
"""usage: bench/structured/run.py [--runs N] [--lines N] [--workload NAME]... [--concurrency N]
                               [--sequences N] [--engine | --peers]
                               [--vllm FOLDER] [--vllm-python PYTHON] [--vllm-eager]

Answers that follow a schema, on the workloads of bench/workloads/generate.py, all sides taking turns.

--engine  the embedded engine alone, by bench_structured: forced tokens at once, apart, not at all
          (plain masked decoding), sampled, and the prompts alone; the share of forced tokens, masks and
          their time a token, how many answers differ from plain masked decoding, and the two ratios
          that matter: rate against the rate of the prompts, decoding against (1 - forced share)
--peers   the program (`tranche run`, its start counted) against llama-server with json_schema and vLLM
          with structured outputs (xgrammar, guidance), on the same weights; their start is not counted
Without either: both. A figure is the median of the runs, with the range. CPU seconds stand beside wall
seconds: on a machine that others use, compare those. For a peer they are of all its processes while it
answered.

environment: TRANCHE           the program              (default: build/tranche)
             BENCH_STRUCTURED  the program of --engine  (default: build/bench_structured, a target of CMake)
             LLAMA_SERVER      llama-server             (without it, none)
             MODEL             the GGUF                 (default: the one that build/ was set up with)
--vllm: a folder that bench/engine/peers/convert.py made (FOLDER/w8a8); without it, no vLLM. OMP_NUM_THREADS is
vLLM's. --threads: of llama-server; its threads spin for each other, so one is best on a crowded machine.
"""
import argparse
import http.client
import json
import os
import pathlib
import queue
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench" / "engine"))
sys.path.insert(0, str(ROOT / "bench" / "engine" / "peers"))
from run import default_model, free_port, wait_ready  # noqa: E402
from common import requests  # noqa: E402

WORKLOADS = ["sentiment500", "sentiment500-json", "receipts200", "articles100"]
CELLS = {"sentiment500": 320, "sentiment500-json": 320, "receipts200": 448, "articles100": 1024}
MODES = ["prompts", "forced", "apart", "chosen", "sampled"]


def read_lines(name, count):
    """The workload; with -json, the same with the enum as JSON."""
    file = ROOT / "bench" / "workloads" / (name.removesuffix("-json") + ".jsonl")
    lines = file.read_text(encoding="utf-8").splitlines()
    lines = lines[:count] if count else lines
    if name.endswith("-json"):
        lines = [line.replace("text/x.enum", "application/json") for line in lines]
    return lines


def schema_of(line):
    """The schema as JSON Schema, or the list of an enum that is not JSON."""
    config = json.loads(line)["request"]["generationConfig"]
    if config["responseMimeType"] == "text/x.enum":
        return None, config["responseSchema"]["enum"]
    schema = config.get("responseJsonSchema")
    if schema is None:
        schema = {**config["responseSchema"], "type": config["responseSchema"]["type"].lower()}
    return schema, None


def cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of(pid):
    """CPU seconds of a process that runs."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def complete(texts, lines):
    """Number of answers that are of the enum, or JSON with all required members."""
    count = 0
    for text, line in zip(texts, lines):
        schema, values = schema_of(line)
        try:
            found = text if values else json.loads(text)
        except ValueError:
            continue
        allowed = values or schema.get("enum")
        count += found in allowed if allowed else all(name in found for name in schema["required"])
    return count


# ---- Sides ----

def run_engine(lines, args, mode, folder):
    """One run of bench_structured: its line of figures, and the answers."""
    work, out = folder / "in.jsonl", folder / "out.jsonl"
    work.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run([args.bench, args.model, work, mode, out, str(args.sequences)], check=True, text=True,
                          stdout=subprocess.PIPE)
    return {**json.loads(done.stdout), "answers": out.read_text(encoding="utf-8").splitlines()}


def run_tranche(lines, args, folder):
    """One `tranche run` from an empty state."""
    config = {"models": [{"name": args.name, "file": os.path.abspath(args.model)}]}
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "config.yaml").write_text(json.dumps(config))
    command = [args.tranche, "run", folder / "in.jsonl", "-o", folder / "out.jsonl", "--model", args.name,
               "--state", folder / "state", "--json", "--config", folder / "config.yaml"]
    begun, cpu = time.monotonic(), cpu_of_children()
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    figures = {"seconds": time.monotonic() - begun, "cpu": cpu_of_children() - cpu}
    replies = [json.loads(row)["response"] for row in (folder / "out.jsonl").open(encoding="utf-8")]
    figures["generated"] = sum(r["usageMetadata"].get("candidatesTokenCount", 0) for r in replies)
    figures["texts"] = [r["candidates"][0]["content"]["parts"][0]["text"] for r in replies]
    return figures


def chat_body(line):
    (messages, most), = requests([line])
    schema, values = schema_of(line)
    body = {"messages": messages, "temperature": 0, "cache_prompt": True, "max_tokens": most}
    if values:
        body["grammar"] = "root ::= " + " | ".join(json.dumps(v) for v in values)
    else:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    return json.dumps(body)


def ask_all(port, lines, concurrency):
    """All requests over `concurrency` keep-alive connections: their replies, in order."""
    todo, replies, failed = queue.SimpleQueue(), [None] * len(lines), []
    for i, line in enumerate(lines):
        todo.put((i, chat_body(line)))

    def work():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            while True:
                i, body = todo.get_nowait()
                connection.request("POST", "/v1/chat/completions", body,
                                   {"Content-Type": "application/json"})
                replies[i] = json.loads(connection.getresponse().read())
        except queue.Empty:
            pass
        except Exception as problem:  # a thread's failure must not be lost
            failed.append(problem)

    threads = [threading.Thread(target=work) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bad = [r for r in replies if not r or "usage" not in r]
    if failed or bad:
        sys.exit(f"llama-server: {failed or bad[0]!r}")
    return replies


def run_llama(name, lines, args):
    port, slots = free_port(), args.concurrency
    command = [args.llama_server, "-m", args.model, "-np", str(slots), "-c", str(CELLS[name] * slots),
               "-b", "2048", "-ub", "512", "-fa", "on", "-kvu", "-cram", "0", "--no-ui",
               "-t", str(args.threads), "-tb", str(args.threads), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_ready(port, process)
        begun, cpu = time.monotonic(), cpu_of(process.pid)
        replies = ask_all(port, lines, slots)
        return {"seconds": time.monotonic() - begun, "cpu": cpu_of(process.pid) - cpu,
                "generated": sum(r["usage"]["completion_tokens"] for r in replies),
                "texts": [r["choices"][0]["message"]["content"] for r in replies]}
    finally:
        process.terminate()
        process.wait()


def run_vllm(lines, args, backend):
    """vllm_structured.py prints a line of figures: its start is not among them."""
    work = [{"messages": m, "most": most, "schema": s, "choice": c}
            for line in lines for m, most in requests([line]) for s, c in [schema_of(line)]]
    script = pathlib.Path(__file__).with_name("vllm_structured.py")
    done = subprocess.run([args.vllm_python, script, args.vllm, backend, *args.vllm_eager],
                          input=json.dumps(work), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        print(f"vLLM with {backend} failed with {done.returncode}:\n{done.stderr[-1500:]}", flush=True)
        return None


# ---- Reports ----

def middle(runs, key, count=None):
    values = sorted((count / r[key] if count else r[key]) for r in runs)
    return statistics.median(values), f"{statistics.median(values):.2f} ({values[0]:.2f}-{values[-1]:.2f})"


def take_turns(sides, runs):
    """Every side once a round; a side that fails is left out."""
    found = {side: [] for side in sides}
    for _ in range(runs):
        for side, run in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                figures = run(pathlib.Path(folder))
            if figures:
                found[side].append(figures)
    return {side: runs for side, runs in found.items() if runs}


def report_engine(name, lines, args):
    sides = {mode: lambda folder, mode=mode: run_engine(lines, args, mode, folder) for mode in MODES}
    found = take_turns(sides, args.runs)
    for mode, runs in found.items():
        r = runs[-1]
        tokens = max(r["generated"], 1)
        mask = statistics.median(run["mask_ns"] for run in runs) / tokens / 1000
        follow = statistics.median(run["follow_ns"] for run in runs) / tokens / 1000
        print(f"{name:18} {mode:8} {middle(runs, 'seconds', len(lines))[1]:24} requests/s"
              f" {middle(runs, 'cpu')[1]:24} CPU s {r['generated']:6} tokens"
              f" {100 * r['forced'] / tokens:5.1f} % forced {r['masks']:6} masks"
              f" {mask:6.2f} + {follow:.2f} us a token {r['complete']} complete", flush=True)
    for key in ("seconds", "cpu"):
        part = {mode: middle(runs, key)[0] for mode, runs in found.items()}
        share = found["forced"][-1]["forced"] / max(found["forced"][-1]["generated"], 1)
        decoding = (part["forced"] - part["prompts"]) / max(part["chosen"] - part["prompts"], 1e-9)
        print(f"{name:18} by {key}: {part['prompts'] / part['forced']:.2f} of the prompts' rate;"
              f" decoding takes {decoding:.2f} of that without forcing, 1 - forced share is"
              f" {1 - share:.2f}", flush=True)
    forced, chosen = found["forced"][-1]["answers"], found["chosen"][-1]["answers"]
    print(f"{name:18} {sum(a != b for a, b in zip(forced, chosen))} of {len(lines)} answers differ from plain"
          f" masked decoding, {sum(a != b for a, b in zip(forced, found['apart'][-1]['answers']))} from"
          f" forced tokens fed apart", flush=True)


def report_peers(name, lines, args):
    sides = {"tranche": lambda folder: run_tranche(lines, args, folder)}
    if args.llama_server:
        sides[f"llama-server {args.concurrency}"] = lambda folder: run_llama(name, lines, args)
    for backend in ("xgrammar", "guidance") if args.vllm else ():
        sides[f"vLLM {backend}"] = lambda folder, backend=backend: run_vllm(lines, args, backend)
    found = take_turns(sides, args.runs)
    for side, runs in found.items():
        generated = statistics.median(r["generated"] / r["seconds"] for r in runs)
        print(f"{name:18} {side:16} {middle(runs, 'seconds', len(lines))[1]:24} requests/s"
              f" {generated:7.0f} tokens/s {middle(runs, 'cpu')[1]:24} CPU s"
              f" {complete(runs[-1]['texts'], lines)} of {len(lines)} complete", flush=True)
    for side, runs in found.items():
        if side != "tranche":
            ratios = [middle(runs, key)[0] / middle(found["tranche"], key)[0] for key in ("seconds", "cpu")]
            print(f"{name:18} {side} takes {ratios[0]:.2f} times as long as tranche,"
                  f" {ratios[1]:.2f} times the CPU", flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lines", type=int, default=0, help="of each workload; 0: all")
    parser.add_argument("--workload", action="append", choices=WORKLOADS)
    parser.add_argument("--concurrency", type=int, default=8, help="slots of llama-server")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--sequences", type=int, default=0, help="requests at once, of --engine")
    parser.add_argument("--engine", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--vllm")
    parser.add_argument("--vllm-python", default=sys.executable)
    parser.add_argument("--vllm-eager", action="store_const", const=["--eager"], default=[])
    args = parser.parse_args()
    args.tranche = os.environ.get("TRANCHE", str(ROOT / "build" / "tranche"))
    args.bench = os.environ.get("BENCH_STRUCTURED", str(ROOT / "build" / "bench_structured"))
    args.llama_server = os.environ.get("LLAMA_SERVER", "")
    args.name = "smollm2-135m-instruct"
    args.model = os.environ.get("MODEL") or default_model(args.name)
    for name in args.workload or WORKLOADS:
        lines = read_lines(name, args.lines)
        if args.engine or not args.peers:
            report_engine(name, lines, args)
        if args.peers or not args.engine:
            report_peers(name, lines, args)


if __name__ == "__main__":
    main()
