#!/usr/bin/env python3
"""usage: litellm_sdk.py URL INPUT OUTPUT CONCURRENCY

The same batch through LiteLLM: acompletion with a bound on open requests. Prints what it took, without
the imports."""
import asyncio
import json
import os
import sys
import time

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # do not fetch prices from the internet
import litellm  # pylint: disable=wrong-import-position

from workload import messages_of  # pylint: disable=wrong-import-position


async def run(url, lines, output, concurrency):
    todo, failed = enumerate(lines), 0

    async def work():
        nonlocal failed
        for index, line in todo:
            try:
                answer = await litellm.acompletion(
                    model="openai/stub", api_base=url, api_key="none", messages=messages_of(line),
                    max_tokens=64)
                row = {"index": index, "text": answer.choices[0].message.content,
                       "usage": answer.usage.model_dump()}
            except Exception as problem:  # pylint: disable=broad-exception-caught
                failed += 1
                row = {"index": index, "error": str(problem)}
            output.write(json.dumps(row) + "\n")

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return failed


def main():
    url, source, target, concurrency = sys.argv[1:]
    litellm.suppress_debug_info = True
    start, cpu = time.monotonic(), time.process_time()
    with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as output:
        failed = asyncio.run(run(url, lines, output, int(concurrency)))
    print(json.dumps({"seconds": time.monotonic() - start, "failed": failed,
                      "cpu_seconds": time.process_time() - cpu}))


main()
