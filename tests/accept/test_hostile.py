"""Hostile and careless clients, by raw sockets. After all of it the server still works and ends in order,
and its log has neither a forged line nor a sanitizer's report."""
import gzip
import json
import re
import socket
import threading
import time

import pytest

from server import Server, line, lines

JOBS = "/v1/projects/p1/locations/us-central1/batchPredictionJobs"
KIB, MIB = 1024, 1024 * 1024


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("hostile"))
    running.call("POST", "/storage/v1/b?project=p1", {"name": "hostile"})
    yield running
    assert running.call("GET", "/healthz")[0] == 200
    assert running.stop() == 0
    log = (running.folder / "serve.log").read_bytes()
    assert b"Sanitizer" not in log and b"runtime error" not in log
    assert b"FORGED" not in re.sub(rb"(?m)^\S+ (info|warn|error|debug) .*$", b"", log)
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", log)


def raw(server, data, wait=5.0):
    """Sends bytes as they are; what came back until the server closed or, after the first bytes, was silent for half a second."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait) as s:
        s.settimeout(wait)
        try:
            s.sendall(data)
        except OSError:
            pass
        answer = b""
        try:
            while piece := s.recv(65536):
                answer += piece
                s.settimeout(0.5)
        except (TimeoutError, ConnectionError):
            pass
    return answer


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1") else None


HEAD = b"Host: 127.0.0.1\r\n"


@pytest.mark.parametrize("head", [
    b"POST /v1/x HTTP/1.1\r\n" + HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/x HTTP/1.1\r\n" + HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    b"GET /healthz HTTP/1.1\r\n" + HEAD + HEAD + b"\r\n",
    b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X-A: b\r\n folded\r\n\r\n",
    b"GET /healthz HTTP/1.1\nHost: 127.0.0.1\n\n",
    b"POST /v1/x HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n",
    b"POST /v1/x HTTP/1.1\r\n" + HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
], ids=["both lengths", "two lengths", "two hosts", "folded", "bare LF", "negative", "overflow"])
def test_what_could_smuggle_a_request_is_refused(target, head):
    answer = raw(target, head + b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert status(answer) in (400, 413, 431, None), answer[:200]
    assert b"/smuggled" not in answer and answer.count(b"HTTP/1.1 200") == 0


def test_heads_are_taken_up_to_the_limit_and_refused_past_it(target):
    def ask(extra, path=b"/healthz"):
        return status(raw(target, b"GET " + path + b" HTTP/1.1\r\n" + HEAD + extra + b"\r\n"))
    assert ask(b"") == 200
    assert ask(b"X-A: " + b"a" * (30 * KIB) + b"\r\n") == 200
    assert ask(b"X-A: " + b"a" * (40 * KIB) + b"\r\n") in (413, 431)
    assert ask(b"", b"/healthz?" + b"a" * (40 * KIB)) in (414, 431)
    assert ask(b"".join(b"X-%d: a\r\n" % i for i in range(150))) == 431
    assert ask(b"", b"/healthz?" + b"&".join(b"a%d=1" % i for i in range(65))) in (400, 414)


def test_paths_that_are_no_paths_are_refused_as_json(target):
    for path in (b"/v1/batches/%00", b"/v1/batches/%zz", b"/v1/batches/\xff\xfe", b"/v1/batches/a%0d%0aX:b",
                 b"/storage/v1/b/..%2f..%2fetc/o/passwd?alt=media", b"/storage/v1/b/hostile/o/%2e%2e",
                 b"/storage/v1/b/hostile/o/%ff", b"//", b"/v1/" + b"a/" * 500, b"*"):
        answer = raw(target, b"GET " + path + b" HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert status(answer) in (400, 404, 405, 414), (path, answer[:200])
        assert b"\r\nX:b" not in answer


def test_slow_clients_hold_up_nobody(target):
    host, port = target.url.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(200)]
    try:
        for s in slow:
            s.sendall(b"POST " + JOBS.encode() + b" HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000\r\n\r\n{")
        for _ in range(20):
            assert target.call("GET", "/healthz")[0] == 200
        status_now, _ = target.call("GET", JOBS)
        assert status_now == 200
    finally:
        for s in slow:
            s.close()


def test_bodies_over_their_limit_are_refused(target):
    big = b'{"displayName":"' + b"a" * MIB + b'"}'
    for path, body in ((JOBS.encode(), big), (b"/v1/models/tranche-fake:batchGenerateContent",
                                              b'{"batch":{"displayName":"' + b"a" * (24 * MIB) + b'"}}')):
        answer = raw(target, b"POST " + path + b" HTTP/1.1\r\n" + HEAD +
                     b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert status(answer) in (400, 413, None), answer[:200]
    bomb = gzip.compress(b" " * (200 * MIB))
    answer = raw(target, b"POST " + JOBS.encode() + b" HTTP/1.1\r\n" + HEAD +
                 b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
    assert status(answer) in (400, 413), answer[:200]


@pytest.mark.parametrize("body", [
    b"", b"[]", b"null", b"{", b'{"a":' * 5000, b"\xff\xfe", b'{"model":1}', b'{"model":{"a":[]}}',
    json.dumps({"displayName": "x", "model": "m" * 5000, "inputConfig": {}}).encode(),
    json.dumps({"labels": {f"k{i}": "v" for i in range(10000)}}).encode(),
    json.dumps({"displayName": "x", "model": "publishers/google/models/tranche-fake",
                "inputConfig": {"instancesFormat": "jsonl",
                                "gcsSource": {"uris": ["gs://hostile/x"] * 1001}},
                "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination":
                                 {"outputUriPrefix": "gs://hostile/o"}}}).encode(),
], ids=lambda b: repr(b[:12]))
def test_create_bodies_of_nonsense_are_400_in_words(target, body):
    for path in (JOBS, "/v1/models/tranche-fake:batchGenerateContent", "/v1/webhooks",
                 "/v1/models/tranche-fake:generateContent"):
        answer = raw(target, b"POST " + path.encode() + b" HTTP/1.1\r\n" + HEAD +
                     b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert status(answer) == (413 if len(body) > 64 * KIB and "webhooks" in path else 400), path
        message = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["message"]
        assert len(message) > 5


def test_lists_bear_any_query(target):
    deep = "NOT " * 100 + 'state="X"'
    cases = {"filter=" + "a" * 4097: 400, "filter=" + deep.replace(" ", "%20"): 400,
             "filter=%22": 400, "pageSize=-1": 400, "pageSize=1.5": 400, "pageSize=1000000": 200, "pageToken=AAAA": 400,
             "readMask=nothing": 200, "filter=labels.a%3A*": 200}
    for query, want in cases.items():
        assert target.call("GET", f"{JOBS}?{query}")[0] == want, query


def test_nothing_in_a_name_forges_a_line_of_the_log(target):
    evil = "x\r\n2026-01-01T00:00:00Z info  FORGED\x1b[31m"
    body = {"displayName": evil, "model": "publishers/google/models/tranche-fake",
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://hostile/" + evil]}},
            "outputConfig": {"predictionsFormat": "jsonl",
                             "gcsDestination": {"outputUriPrefix": "gs://hostile/o"}}}
    target.call("POST", JOBS, body)
    target.call("GET", "/v1/batches/x%0d%0aFORGED%1b")
    target.call("GET", "/nothing/%0aFORGED")
    time.sleep(0.2)


def test_a_stored_type_cannot_add_a_header(target):
    meta = json.dumps({"name": "evil", "contentType": "text/html\r\nX-Evil: 1"}).encode()
    body = (b"--b\r\nContent-Type: application/json\r\n\r\n" + meta +
            b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b--\r\n")
    answer = raw(target, b"POST /upload/storage/v1/b/hostile/o?uploadType=multipart HTTP/1.1\r\n" +
                 HEAD + b"Content-Type: multipart/related; boundary=b\r\nContent-Length: %d\r\n\r\n"
                 % len(body) + body)
    assert status(answer) in (200, 400)
    got = raw(target, b"GET /storage/v1/b/hostile/o/evil?alt=media HTTP/1.1\r\n" + HEAD + b"\r\n")
    assert b"X-Evil" not in got.split(b"\r\n\r\n")[0]


def test_a_page_of_another_site_cannot_call(target):
    for host, origin in (("evil.example", None), ("127.0.0.1.evil.example", None),
                         ("127.0.0.1", "https://evil.example")):
        head = f"GET {JOBS} HTTP/1.1\r\nHost: {host}\r\n"
        head += f"Origin: {origin}\r\n" if origin else ""
        assert status(raw(target, head.encode() + b"\r\n")) == 403, (host, origin)


def test_clients_that_leave_in_the_middle_leave_nothing_behind(target):
    host, port = target.url.removeprefix("http://").split(":")
    target.upload("hostile", "big", b"x" * (4 * MIB))
    for data in (b"POST /upload/storage/v1/b/hostile/o?uploadType=media&name=half HTTP/1.1\r\n" + HEAD +
                 b"Content-Length: 1000000\r\n\r\n" + b"x" * 5000,
                 b"GET /storage/v1/b/hostile/o/big?alt=media HTTP/1.1\r\n" + HEAD + b"\r\n",
                 b"GET /tranche/v1/events HTTP/1.1\r\n" + HEAD + b"\r\n",
                 b"POST /v1/models/tranche-fake:generateContent HTTP/1.1\r\n" + HEAD +
                 b"Content-Length: 60\r\n\r\n" + b'{"contents":[{"parts":[{"text":"' + b"a" * 10):
        for _ in range(20):
            with socket.create_connection((host, int(port))) as s:
                s.sendall(data)
    assert target.call("GET", "/storage/v1/b/hostile/o/half")[0] == 404


def test_uploads_that_lie_about_their_length_are_refused(target):
    def put(url, data, content_range):
        path = url.removeprefix(target.url)
        return status(raw(target, f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Range: "
                          f"{content_range}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data))
    start = raw(target, b"POST /upload/storage/v1/b/hostile/o?uploadType=resumable&name=lie HTTP/1.1\r\n"
                + HEAD + b"Content-Length: 2\r\n\r\n{}")
    url = re.search(rb"Location: (\S+)", start).group(1).decode()
    for content_range in ("bytes 5-1/10", "bytes 0-9/5", "bytes a-b/c", "bytes 0-99999999999999999999/*",
                          "lines 0-1/2", "bytes 100-109/*"):
        assert put(url, b"x" * 10, content_range) in (400, 416, 503), content_range
    assert put(url, b"x" * 10, "bytes 0-9/10") == 200
    assert put(url.replace("upload_id=", "upload_id=x"), b"", "bytes */*") in (400, 404, 410)


def test_many_clients_at_once_are_all_answered(target):
    target.upload("hostile", "in.jsonl", lines(5) + line("x") + "\n")
    failures = []

    def work():
        for _ in range(20):
            if target.call("GET", JOBS)[0] != 200:
                failures.append(1)
    threads = [threading.Thread(target=work) for _ in range(32)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
