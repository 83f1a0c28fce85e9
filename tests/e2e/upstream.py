"""The stub of an inference server (tests/stub) as a process: started, asked, told to break, stopped.

It is built with the tests, next to the program that TRANCHE names; UPSTREAM_STUB names another one."""
import http.client
import json
import os
import pathlib
import socket
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TRANCHE", ROOT / "build" / "tranche")).resolve().parent
PROGRAM = os.environ.get("UPSTREAM_STUB", str(BUILD / "tests" / "stub" / "upstream_stub"))
CHAT = "/v1/chat/completions"
GENERATE = "/v1beta/models/stub:generateContent"
SECONDS_MAX = 30


class Upstream:
    """`Upstream("--slots", 2)`; use it with `with`."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [PROGRAM, "--with-parent", *map(str, options)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True)
        first = self.process.stdout.readline()
        assert first.startswith("listening "), f"{PROGRAM} {options} did not start"
        self.port = int(first.rsplit(":", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def call(self, method, path, body=None, headers=None):
        """Status, headers and body; a body that is no text is sent as JSON."""
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS_MAX)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def chat(self, text, **headers):
        return self.call("POST", CHAT, chat_body(text), headers)

    def stats(self):
        return json.loads(self.call("GET", "/stub/stats")[2])

    def reset(self):
        assert self.call("POST", "/stub/reset")[0] == 200

    def set_faults(self, **rates):
        """set_faults(hang="1%:2", http_429=0)"""
        query = "&".join(f"{kind.replace('_', '-')}={rate}" for kind, rate in rates.items())
        status, _, body = self.call("POST", "/stub/faults?" + query)
        assert status == 200, body

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS_MAX)


def chat_body(text, system=None):
    messages = [{"role": "system", "content": system}] if system else []
    return {"model": "stub", "messages": messages + [{"role": "user", "content": text}]}


def generate_body(text, system=None):
    body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    return {**body, "systemInstruction": {"parts": [{"text": system}]}} if system else body


def post(path, body):
    """The bytes of a request."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: stub\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
