"""Two gateways that limit an account, as their documentation says, in front of answers that take 50 ms.

usage: gateway.py KIND PER_WINDOW WINDOW_S      Prints its port; GET /stats gives what came.

window   a count per minute that starts afresh (Gemini API): 429 RESOURCE_EXHAUSTED with QuotaFailure and
         RetryInfo. https://ai.google.dev/gemini-api/docs/rate-limits
bucket   a bucket that fills evenly, told in x-ratelimit-* of each reply (OpenAI): 429 with Retry-After.
         https://platform.openai.com/docs/guides/rate-limits
A minute is WINDOW_S here, so that a run is short."""
import asyncio
import json
import math
import random
import sys
import time

KIND, PER_WINDOW, WINDOW_S = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
LATENCY_S = 0.05
state = {"began": time.monotonic(), "count": 0, "level": PER_WINDOW, "at": time.monotonic()}
stats = {"answered": 0, "refused": 0}
chance = random.Random(1)


def admit_window():
    now = time.monotonic()
    if now - state["began"] >= WINDOW_S:
        state.update(began=now, count=0)
    state["count"] += 1
    left = state["began"] + WINDOW_S - now
    return state["count"] <= PER_WINDOW, {}, [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
            {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{left:.3f}s"}]


def admit_bucket():
    now = time.monotonic()
    rate = PER_WINDOW / WINDOW_S
    state["level"] = min(PER_WINDOW, state["level"] + (now - state["at"]) * rate)
    state["at"] = now
    admitted = state["level"] >= 1
    state["level"] -= admitted
    headers = {"x-ratelimit-limit-requests": int(PER_WINDOW),
               "x-ratelimit-remaining-requests": int(state["level"]),
               "x-ratelimit-reset-requests": f"{(PER_WINDOW - state['level']) / rate * 1000:.0f}ms"}
    if not admitted:
        headers["Retry-After"] = math.ceil((1 - state["level"]) / rate)
    return admitted, headers, []


admit = {"window": admit_window, "bucket": admit_bucket}[KIND]


async def answer(path):
    """Status, headers and body."""
    if path == "/stats":
        return 200, {}, stats
    admitted, headers, details = admit()
    stats["answered" if admitted else "refused"] += 1
    if not admitted:
        return 429, headers, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
                                        "message": "Resource exhausted. Please try again later.",
                                        "details": details}}
    await asyncio.sleep(LATENCY_S)
    return 200, headers, {
        "id": f"chatcmpl-{stats['answered']}-{chance.random()}", "object": "chat.completion",
        "created": 1, "model": "stub", "choices": [{"index": 0, "finish_reason": "stop", "message": {
            "role": "assistant", "content": "an answer"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            length = [int(line.split(":")[1]) for line in head if line.lower().startswith("content-length")]
            await reader.readexactly(length[0] if length else 0)
            status, headers, body = await answer(head[0].split(" ")[1])
            data = json.dumps(body).encode()
            lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}",
                     "Content-Type: application/json"] + [f"{k}: {v}" for k, v in headers.items()]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
