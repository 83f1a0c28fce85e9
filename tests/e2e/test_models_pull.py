"""`tranche models pull` against a server that imitates a hub's documented API: names, redirects to another
host, cut lines, wrong hashes, refusals. Source: https://huggingface.co/docs/hub/api"""
import hashlib
import http.server
import json
import signal
import socket
import threading
import time

import pytest

import gguf_file

FILE = gguf_file.adapter(layers=4) * 3
HASH = hashlib.sha256(FILE).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A hub on one port and its CDN on another; `plan` says what happens to the next downloads."""

    def __init__(self):
        self.calls, self.plan, self.sha256, self.token, self.api_status = [], [], HASH, None, []
        self.servers = [self.serve(self.api), self.serve(self.cdn)]
        self.url = f"http://127.0.0.1:{self.servers[0].server_port}"

    def serve(self, handler):
        calls = self.calls

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=invalid-name
                calls.append((self.path, dict(self.headers)))
                handler(self)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def api(self, call):
        if self.api_status:
            status, headers = self.api_status.pop(0)
            return self.reply(call, status, b"{}", headers)
        if self.token and call.headers.get("Authorization") != f"Bearer {self.token}":
            return self.reply(call, 401, b'{"error":"gated"}')
        if call.path.startswith("/api/models/owner/repo/revision/main"):
            siblings = [{"rfilename": "README.md", "size": 5},
                        {"rfilename": "Model-Q8_0.gguf", "size": len(FILE),
                         "lfs": {"sha256": self.sha256, "size": len(FILE), "pointerSize": 134}}]
            return self.reply(call, 200, json.dumps({"sha": COMMIT, "siblings": siblings}).encode())
        if call.path == f"/owner/repo/resolve/{COMMIT}/Model-Q8_0.gguf":
            return self.reply(call, 302, b"", {
                "Location": f"http://127.0.0.1:{self.servers[1].server_port}/blob?signed=1"})
        return self.reply(call, 404, b'{"error":"Repository not found"}')

    def cdn(self, call):
        what = self.plan.pop(0) if self.plan else "whole"
        first = int(call.headers.get("Range", "bytes=0-")[6:-1])
        if what == "busy":
            return self.reply(call, 429, b"", {"Retry-After": "1"})
        if what == "fails":
            return self.reply(call, 503, b"")
        if what == "no ranges":
            return self.reply(call, 200, FILE)
        data = FILE[first:]
        call.send_response(206 if first else 200)
        if first:
            call.send_header("Content-Range", f"bytes {first}-{len(FILE) - 1}/{len(FILE)}")
        call.send_header("Content-Length", str(len(data)))
        call.end_headers()
        if what == "cut":
            call.wfile.write(data[:len(data) // 2])
            call.wfile.flush()
            call.connection.shutdown(socket.SHUT_RDWR)
        elif what == "slow":
            for at in range(0, len(data), 4096):
                try:
                    call.wfile.write(data[at:at + 4096])
                except OSError:
                    return None
                time.sleep(0.02)
        else:
            call.wfile.write(data)
        return None

    @staticmethod
    def reply(call, status, body, headers=None):
        call.send_response(status)
        for name, value in (headers or {}).items():
            call.send_header(name, value)
        call.send_header("Content-Length", str(len(body)))
        call.end_headers()
        call.wfile.write(body)


@pytest.fixture
def hub():
    one = Hub()
    yield one
    for server in one.servers:
        server.shutdown()
        server.server_close()


def pull(tranche, hub, *arguments, **environment):
    return tranche("models", "pull", *(arguments or ("owner/repo",)), HF_ENDPOINT=hub.url, **environment)


def kept(tranche):
    return tranche.folder / "home/.local/share/tranche/models"


def downloads(hub):
    return [headers for path, headers in hub.calls if path.startswith("/blob")]


def test_a_file_is_got_checked_and_answers_to_its_name(tranche, hub):
    result = pull(tranche, hub)
    assert result.returncode == 0, result.stderr
    path = kept(tranche) / "model-q8_0.gguf"
    assert result.stdout == f"{path}\n" and path.read_bytes() == FILE
    assert [p.name for p in kept(tranche).iterdir()] == ["model-q8_0.gguf"]
    assert "model-q8_0" in tranche("models", "--names").stdout.splitlines()
    again = pull(tranche, hub)
    assert again.returncode == 0 and "there already" in again.stderr and len(downloads(hub)) == 1
    assert tranche("models", "rm", "model-q8_0").returncode == 0 and not path.exists()
    assert tranche("models", "rm", "model-q8_0").returncode == 2


@pytest.mark.parametrize("what", ["owner/repo:Model-Q8_0.gguf", "URL/owner/repo",
                                  "URL/owner/repo/resolve/main/Model-Q8_0.gguf?download=true",
                                  "URL/owner/repo/blob/main/Model-Q8_0.gguf"])
def test_a_repository_is_named_in_every_usual_way(tranche, hub, what):
    assert pull(tranche, hub, what.replace("URL", hub.url), "--as", "mine").returncode == 0
    assert (kept(tranche) / "mine.gguf").read_bytes() == FILE


def test_a_cut_line_goes_on_where_it_was(tranche, hub):
    hub.plan = ["cut", "busy", "fails", "cut"]
    result = pull(tranche, hub)
    assert result.returncode == 0, result.stderr
    assert (kept(tranche) / "model-q8_0.gguf").read_bytes() == FILE
    ranges = [headers.get("Range") for headers in downloads(hub)]
    assert ranges[0] is None and all(r.startswith("bytes=") for r in ranges[1:])


def test_a_server_without_ranges_sends_all_again(tranche, hub):
    hub.plan = ["cut", "no ranges"]
    assert pull(tranche, hub).returncode == 0
    assert (kept(tranche) / "model-q8_0.gguf").read_bytes() == FILE


def test_an_interrupted_download_is_resumed_by_the_same_command(tranche, hub):
    hub.plan = ["slow"]
    tranche.environment["HF_ENDPOINT"] = hub.url
    process = tranche.start("models", "pull", "owner/repo")
    deadline = time.monotonic() + 30
    part = kept(tranche) / f"{HASH}.part"
    while time.monotonic() < deadline and not (part.exists() and part.stat().st_size > 8192):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and "goes on where it was" in err
    had = part.stat().st_size
    assert 0 < had < len(FILE)
    result = pull(tranche, hub)
    assert result.returncode == 0 and "going on at" in result.stderr
    assert downloads(hub)[-1]["Range"] == f"bytes={had}-"


def test_a_wrong_hash_keeps_nothing(tranche, hub):
    hub.sha256 = "0" * 64
    result = pull(tranche, hub)
    assert result.returncode == 3 and HASH in result.stderr and not list(kept(tranche).iterdir())


def test_the_token_goes_to_the_hub_only(tranche, hub):
    hub.token = "hf_secret"
    refused = pull(tranche, hub)
    assert refused.returncode == 2 and "set HF_TOKEN" in refused.stderr
    wrong = pull(tranche, hub, HF_TOKEN="hf_other")
    assert wrong.returncode == 2 and "accept the model's licence" in wrong.stderr
    result = pull(tranche, hub, HF_TOKEN="hf_secret")
    assert result.returncode == 0, result.stderr
    assert all("Authorization" not in headers for headers in downloads(hub))
    assert "hf_secret" not in result.stdout + result.stderr


def test_a_busy_hub_is_asked_again_and_a_broken_one_given_up(tranche, hub):
    hub.api_status = [(429, {"Retry-After": "1"}), (500, {})]
    assert pull(tranche, hub).returncode == 0
    hub.api_status = [(403, {})]
    assert pull(tranche, hub).returncode == 2


def test_what_is_not_there_is_said_in_words(tranche, hub):
    assert "no such repository" in pull(tranche, hub, "owner/other").stderr
    missing = pull(tranche, hub, "owner/repo:none.gguf").stderr
    assert "no file none.gguf" in missing and "Model-Q8_0.gguf" in missing
    assert "--catalogue" in pull(tranche, hub, "unheard-of").stderr
    assert "--sha256" in pull(tranche, hub, f"http://127.0.0.1:{hub.servers[1].server_port}/x.gguf").stderr
    assert pull(tranche, hub, "owner/repo", "--sha256", "1" * 64).returncode == 3
    assert pull(tranche, hub, "owner/repo", "--as", "../evil").returncode == 2


def test_any_address_will_do_with_a_hash(tranche, hub):
    result = pull(tranche, hub, f"http://127.0.0.1:{hub.servers[1].server_port}/blob/x.gguf", "--sha256",
                  HASH)
    assert result.returncode == 0 and (kept(tranche) / "x.gguf").read_bytes() == FILE
