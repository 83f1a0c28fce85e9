#!/usr/bin/env python3
"""usage: openai_sdk.py URL INPUT OUTPUT CONCURRENCY [httpx|aiohttp]

A batch as a careful user of the OpenAI SDK would run it: one client, a bound on open requests, the
pool as large as that bound, a row a line as answers come. Prints what it took, without the imports."""
import asyncio
import json
import sys
import time

import httpx2
import openai

from workload import messages_of


def http_client(kind, concurrency):
    make = openai.DefaultAioHttpClient if kind == "aiohttp" else openai.DefaultAsyncHttpxClient
    return make(limits=httpx2.Limits(max_connections=concurrency,
                                     max_keepalive_connections=concurrency))


async def run(url, lines, output, concurrency, kind):
    client = openai.AsyncOpenAI(base_url=url, api_key="none",
                                http_client=http_client(kind, concurrency))
    todo, failed = enumerate(lines), 0

    async def work():
        nonlocal failed
        for index, line in todo:
            try:
                answer = await client.chat.completions.create(
                    model="stub", messages=messages_of(line), max_tokens=64)
                row = {"index": index, "text": answer.choices[0].message.content,
                       "usage": answer.usage.model_dump()}
            except openai.OpenAIError as problem:
                failed += 1
                row = {"index": index, "error": str(problem)}
            output.write(json.dumps(row) + "\n")

    await asyncio.gather(*(work() for _ in range(concurrency)))
    await client.close()
    return failed


def main():
    url, source, target, concurrency, *kind = sys.argv[1:]
    start, cpu = time.monotonic(), time.process_time()
    with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as output:
        failed = asyncio.run(run(url, lines, output, int(concurrency), *(kind or ["httpx"])))
    print(json.dumps({"seconds": time.monotonic() - start, "failed": failed,
                      "cpu_seconds": time.process_time() - cpu}))


main()
