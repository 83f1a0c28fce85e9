#!/usr/bin/env python3
"""usage: openvino_batch.py FOLDER [SEQUENCES [TOKENS]] <WORKLOAD

OpenVINO GenAI, continuous batching with its prefix cache, on a model that convert.py made. Prints a
line of figures for bench/engine/run.py --peer. Needs: pip install openvino-genai tokenizers."""
import os
import pathlib
import sys
import time

import numpy
import tokenizers
from common import END_OF_TURN, chatml, report, requests

BEGUN = time.monotonic()
import openvino  # noqa: E402  (loading it is part of the start)
import openvino_genai as genai  # noqa: E402


def main():
    wanted = list(requests())
    scheduler = genai.SchedulerConfig()
    scheduler.max_num_seqs = int(sys.argv[2]) if len(sys.argv) > 2 else 256
    scheduler.max_num_batched_tokens = int(sys.argv[3]) if len(sys.argv) > 3 else 2048
    scheduler.cache_size = 4
    scheduler.enable_prefix_caching = True
    scheduler.dynamic_split_fuse = True
    threads = {"INFERENCE_NUM_THREADS": len(os.sched_getaffinity(0))}
    engine = genai.ContinuousBatchingPipeline(sys.argv[1], scheduler, "CPU", threads)
    tokenizer = tokenizers.Tokenizer.from_file(str(pathlib.Path(sys.argv[1]) / "tokenizer.json"))
    ready = time.monotonic()
    settings = []
    for _, most in wanted:
        one = genai.GenerationConfig()
        one.max_new_tokens = most
        one.do_sample = False
        one.set_eos_token_id(tokenizer.token_to_id(END_OF_TURN))
        one.apply_chat_template = False
        settings.append(one)
    prompts = [tokenizer.encode(chatml(m), add_special_tokens=False).ids for m, _ in wanted]
    answers = engine.generate([openvino.Tensor(numpy.array([p])) for p in prompts], settings)
    report(BEGUN, ready, sum(len(p) for p in prompts),
           sum(len(a.m_generation_ids[0]) for a in answers))


if __name__ == "__main__":
    main()
