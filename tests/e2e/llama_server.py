"""A llama-server of one's own, on a free port, for as long as a `with` lasts.

LLAMA_SERVER names the program that `scripts/setup --test` built; the default model and the chat
templates are found from there. The server is a real one: what it answers is tested by its users."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import time

NAME = "smollm2-135m-instruct"
START_SECONDS = 60


def program():
    """The path of llama-server, or None."""
    return os.environ.get("LLAMA_SERVER")


def template(name):
    return str(pathlib.Path(program()).parents[1] / "share" / f"{name}.jinja")


def model():
    cache = pathlib.Path(program()).parents[2]
    return os.environ.get("MODEL") or str(cache / "deps" / "models" / f"{NAME}.gguf")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """`url` is what tranche and others take as the base of the dialect.

    It computes on one thread unless an option says otherwise: two wait for each other at each step by
    spinning, and get nowhere on a machine that does something else as well."""

    def __init__(self, *options, log=None):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        command = [program(), "--model", model(), "--alias", NAME, "--host", "127.0.0.1",
                   "--port", str(self.port), "--no-ui", "--metrics",
                   "--threads", "1", *map(str, options)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=log or subprocess.DEVNULL)

    def call(self, method, path, body=None):
        """Status and text of one call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read().decode()

    def chat(self, messages, **members):
        """The reply to a chat completion, greedy unless said otherwise."""
        body = {"messages": messages, "temperature": 0, **members}
        status, text = self.call("POST", "/v1/chat/completions", json.dumps(body))
        assert status == 200, text
        return json.loads(text)

    def prompt_tokens(self):
        """How many tokens of prompts were computed so far, and how many came from the cache."""
        text = self.call("GET", "/metrics")[1]
        return tuple(int(float(re.search(rf"^llamacpp:{name} (\S+)$", text, re.M).group(1)))
                     for name in ("prompt_tokens_total", "prompt_tokens_cached_total"))

    def wait(self):
        end = time.monotonic() + START_SECONDS
        while not self._healthy():
            assert self.process.poll() is None, f"llama-server ended with {self.process.returncode}"
            assert time.monotonic() < end, "llama-server did not start"
            time.sleep(0.02)

    def _healthy(self):
        try:
            return self.call("GET", "/health")[0] == 200
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def running(*options, **more):
    server = Server(*options, **more)
    try:
        server.wait()
        yield server
    finally:
        server.stop()
