"""Shared by the runners of other engines: requests as chat messages, and a line of figures."""
import json
import os
import pathlib
import sys
import time


def requests(lines=sys.stdin):
    """The workload, by default on the standard input: messages and the most tokens of an answer, for each line."""
    for line in lines:
        request = json.loads(line)["request"]
        messages = [{"role": "assistant" if c.get("role") == "model" else "user",
                     "content": "".join(p["text"] for p in c["parts"])} for c in request["contents"]]
        if "systemInstruction" in request:
            text = "".join(p["text"] for p in request["systemInstruction"]["parts"])
            messages.insert(0, {"role": "system", "content": text})
        yield messages, request["generationConfig"]["maxOutputTokens"]


END_OF_TURN = "<|im_end|>"


def chatml(messages):
    """The template of the default model."""
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}{END_OF_TURN}\n" for m in messages)
    return turns + "<|im_start|>assistant\n"


def peak_mib(pid):
    """The peak resident sets of a process and its descendants, added up."""
    total = 0
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            total += int(line.split()[1]) // 1024
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        total += peak_mib(child)
    return total


def report(begun, ready, prompt, generated):
    """begun, ready: by time.monotonic(), before the engine was loaded and before the first request."""
    print(json.dumps({"start": ready - begun, "seconds": time.monotonic() - ready, "prompt": prompt,
                      "generated": generated, "reused": 0, "peak": peak_mib(os.getpid())}), flush=True)
