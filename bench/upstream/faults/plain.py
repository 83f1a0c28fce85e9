"""The yardstick: a plain client with threads, each of which tries its request again by itself.

usage: plain.py URL COUNT CONNECTIONS TIMEOUT_S      Prints how many were answered, and the seconds."""
import http.client
import json
import sys
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

ATTEMPTS = 10
URL, COUNT = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2])
CONNECTIONS, TIMEOUT_S = int(sys.argv[3]), float(sys.argv[4])


def attempt(text):
    """True when it was answered, or the seconds to wait."""
    connection = http.client.HTTPConnection(URL.hostname, URL.port, timeout=TIMEOUT_S)
    try:
        body = {"model": "stub", "messages": [{"role": "user", "content": text}]}
        connection.request("POST", URL.path + "/chat/completions", json.dumps(body),
                           {"Content-Type": "application/json"})
        reply = connection.getresponse()
        if reply.status == 200 and json.loads(reply.read())["choices"]:
            return True
        return float(reply.headers.get("Retry-After") or 0.5)
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return 0.5
    finally:
        connection.close()


def one(index):
    for _ in range(ATTEMPTS):
        wait = attempt(f"question {index}")
        if wait is True:
            return 1
        time.sleep(wait)
    return 0


began = time.monotonic()
with ThreadPoolExecutor(CONNECTIONS) as pool:
    answered = sum(pool.map(one, range(COUNT)))
print(json.dumps({"answered": answered, "seconds": time.monotonic() - began}))
