"""How a server is reached: TLS with an authority of one's own, HTTP/2 and HTTP/1.1, headers, proxies."""
import http.server
import json
import os
import ssl
import subprocess
import threading
import urllib.request

import pytest

from conftest import ROOT, text_of
from test_upstream import OK, SOME_FAILED, ask
from upstream import Upstream

NODE = os.path.join(os.environ.get("TRANCHE_NODE", ""), "bin", "node")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=stub",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out",
         folder / "cert.pem"], check=True, capture_output=True)
    return folder


class Secure:
    """tests/e2e/h2_server.mjs as a process."""

    def __init__(self, certificate):
        self.cert = certificate / "cert.pem"
        self.process = subprocess.Popen(
            [NODE, ROOT / "tests" / "e2e" / "h2_server.mjs", self.cert, certificate / "key.pem"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"https://127.0.0.1:{int(self.process.stdout.readline())}"

    def seen(self):
        context = ssl.create_default_context(cafile=self.cert)
        with urllib.request.urlopen(self.url + "/seen", context=context) as answer:
            return json.load(answer)

    def stop(self):
        self.process.communicate()


@pytest.fixture
def secure(certificate):
    server = Secure(certificate)
    yield server
    server.stop()


def run(tranche, url, more=""):
    tranche.write("config.yaml", f"upstreams: [{{ name: far, url: '{url}/v1', {more} }}]",
                  "models: [{ name: stub, upstreams: [{ upstream: far }] }]",
                  "retry: { attempts: 2, base_ms: 1, cap_ms: 2 }")
    return tranche("run", "in.jsonl", "-o", "out.jsonl", "--model", "stub", "--config", "config.yaml",
                   "--state", "state", FAR_KEY="k-1")


def assert_echoed(tranche, count):
    rows = tranche.rows("out.jsonl")
    assert [text_of(row) for row in rows] == [f"echo: question {i}" for i in range(count)]


def test_a_server_behind_tls_is_shared_by_all_requests_of_http2(tranche, secure):
    ask(tranche, 300)
    done = run(tranche, secure.url,
               f"ca_file: '{secure.cert}', headers: ['X-Team: search'], key_env: FAR_KEY")
    assert done.returncode == OK, done.stderr
    assert_echoed(tranche, 300)
    seen = secure.seen()
    assert seen["versions"] == {"2.0": 300}
    assert seen["connections"] < 30  # and one is ours
    assert seen["team"] == "search" and seen["key"] == "Bearer k-1"


def test_without_http2_each_request_has_a_connection_that_is_kept(tranche, secure):
    ask(tranche, 300)
    done = run(tranche, secure.url, f"ca_file: '{secure.cert}', http1: true, concurrency: 8")
    assert done.returncode == OK, done.stderr
    assert_echoed(tranche, 300)
    seen = secure.seen()
    assert seen["versions"] == {"1.1": 300}
    assert seen["connections"] <= 10


def test_a_server_whose_certificate_is_not_trusted_gets_nothing(tranche, secure):
    ask(tranche, 5)
    done = run(tranche, secure.url)
    assert done.returncode == SOME_FAILED
    assert all("certificate" in row["status"] for row in tranche.rows("out.jsonl"))
    assert secure.seen()["versions"] == {}


class Proxy(http.server.BaseHTTPRequestHandler):
    """A proxy for http: the request line has the whole URL."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        target = urllib.request.Request(self.path, body, {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(target) as answer:
            text = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def test_a_proxy_of_the_configuration_is_used(tranche):
    ask(tranche, 20)
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.asked = []
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    with Upstream() as stub:
        done = run(tranche, stub.url, f"proxy: 'http://127.0.0.1:{proxy.server_address[1]}'")
        assert done.returncode == OK, done.stderr
        assert proxy.asked == [f"{stub.url}/v1/chat/completions"] * 20
    proxy.shutdown()
    proxy.server_close()
    assert_echoed(tranche, 20)
