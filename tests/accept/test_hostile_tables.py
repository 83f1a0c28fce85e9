"""Hostile clients by tables: what is sent, and the only answers that are right. A refusal is 4xx in words; no
case may end in 5xx, in a path of the server, or in another project's data."""
import json
import socket
import subprocess
import time

import pytest

from server import PROGRAM, Server
from test_hostile import HEAD, raw, status, target  # noqa: F401: target is a fixture

PLACE = "/v1/projects/p1/locations/us-central1"
JOBS = PLACE + "/batchPredictionJobs"
OBJECTS = "/storage/v1/b/hostile/o"
BATCH = "/v1beta/models/tranche-fake:batchGenerateContent"
MODEL = "/v1beta/models/tranche-fake"


def to(prefix):
    return {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": prefix}}


def a_job(**members):
    return {"displayName": "d", "model": "publishers/google/models/tranche-fake", "outputConfig": to("gs://hostile/o"),
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://hostile/a"]}}, **members}


def a_batch(**members):
    request = {"request": {"contents": [{"parts": [{"text": "a"}]}]}}
    return {"batch": {"displayName": "d", "inputConfig": {"requests": {"requests": [request]}}, **members}}


def send(server, method, path, body=b"", head=b""):
    """One call on a connection of its own: (status, head, body)."""
    data = (f"{method} {path} HTTP/1.1\r\n".encode() + HEAD + b"Connection: close\r\n" + head +
            b"Content-Length: %d\r\n\r\n" % len(body) + body)
    answer = raw(server, data, wait=60.0)
    top, _, rest = answer.partition(b"\r\n\r\n")
    return status(answer), top, rest


def refused(server, method, path, body=b"", head=b"", allowed=()):
    code, top, rest = send(server, method, path, body, head)
    assert code in (*range(400, 500), *allowed), (code, rest[:300])
    assert str(server.folder).encode() not in top + rest
    if code >= 400 and b"text/plain" not in top:
        error = json.loads(rest)["error"]
        assert error["code"] == code and len(error["message"]) > 3
    return code


# ---- Bodies that are no JSON object, to every call that takes one ----

BODIES = {
    "list": b"[]", "null": b"null", "open": b"{", "text": b'"x"', "number": b"1e999", "not utf-8": b"\xff\xfe",
    "deep": b'{"a":' * 3000, "NUL": b"\x00", "two": b"{}{}", "lone surrogate": b'{"a":"\\ud800"}',
    "single quotes": b"{'a':1}", "trailing comma": b'{"a":1,}',
}
TAKERS = [
    ("POST", JOBS), ("POST", MODEL + ":batchGenerateContent"), ("POST", MODEL + ":generateContent"),
    ("POST", MODEL + ":streamGenerateContent"), ("POST", MODEL + ":countTokens"),
    ("POST", PLACE + "/publishers/google/models/tranche-fake:generateContent"),
    ("POST", PLACE + "/endpoints/tranche-fake:countTokens"), ("POST", "/v1beta/webhooks"),
    ("POST", "/v1beta/files:register"), ("POST", "/storage/v1/b?project=p1"),
    ("PATCH", "/storage/v1/b/hostile"), ("POST", OBJECTS + "/a/compose"), ("POST", OBJECTS + "/a/rewriteTo/b/hostile/o/b"),
    ("PATCH", OBJECTS + "/a"), ("POST", "/tranche/v1/clock:advance"), ("POST", "/upload/v1beta/files"),
]


@pytest.mark.parametrize("method, path", TAKERS, ids=[f"{m} {p}" for m, p in TAKERS])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_no_json_object_is_refused_in_words(target, method, path, body):
    head = b"X-Goog-Upload-Protocol: resumable\r\nX-Goog-Upload-Command: start\r\n" if "/upload/" in path else b""
    refused(target, method, path, body, head)


# ---- Steps of a path that are no names ----

STEPS = {"NUL": "%00", "up": "..%2f..%2fetc%2fpasswd", "not utf-8": "%ff%fe", "half an escape": "%z", "long": "a" * 3000,
         "negative": "-1", "many digits": "9" * 40, "CRLF": "a%0d%0aX-Evil:%201", "quote": "%22%27", "star": "*"}
PLACES = ["/v1beta/batches/{}", JOBS + "/{}", "/v1beta/files/{}", "/v1beta/webhooks/{}", "/storage/v1/b/{}",
          OBJECTS + "/{}", "/v1beta/models/{}", "/download/v1beta/files/{}:download", JOBS + "/{}:events"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_step_that_names_nothing_is_refused(target, place, step):
    code, top, rest = send(target, "GET", place.format(step))
    assert 400 <= code < 500, rest[:200]
    assert b"X-Evil: 1" not in top and b"root:" not in rest


# ---- Methods ----

@pytest.mark.parametrize("method", ["PUT", "TRACE", "CONNECT", "PROPFIND", "get"])
@pytest.mark.parametrize("path", ["/healthz", "/metrics", JOBS, "/v1beta/batches/x", "/v1beta/webhooks",
                                  "/tranche/v1/info", "/v1beta/files/x"])
def test_a_method_that_a_path_does_not_take_is_refused(target, method, path):
    code, _, _ = send(target, method, path)
    assert code in (400, 404, 405), code


# ---- Heads ----

HEADS = {
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\n" + HEAD + b"\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "space in name": b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X A: b\r\n\r\n",
    "NUL in value": b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X-A: a\x00b\r\n\r\n",
    "DEL in value": b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X-A: a\x7fb\r\n\r\n",
    "chunked twice": b"POST /v1/x HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "gzip transfer": b"POST /v1/x HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "bad chunk": b"POST " + JOBS.encode() + b" HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "length in hex": b"POST " + JOBS.encode() + b" HTTP/1.1\r\n" + HEAD + b"Content-Length: 0x10\r\n\r\n",
    "length with plus": b"POST " + JOBS.encode() + b" HTTP/1.1\r\n" + HEAD + b"Content-Length: +2\r\n\r\n{}",
    "odd host": b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
    "host with path": b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_head_that_breaks_http_gets_no_good_answer(target, head):
    answer = raw(target, head)
    assert b"HTTP/1.1 2" not in answer, answer[:200]
    assert not any(b"HTTP/1.1 5%02d" % n in answer for n in range(0, 100) if n != 5), answer[:200]


LENGTHS = [b"-1", b"+2", b"0x10", b"1e3", b"9" * 30, b"18446744073709551616", b"1 1", b"1,1", b"two", b"2\x0b", b"1.0"]


@pytest.mark.parametrize("length", LENGTHS, ids=repr)
def test_a_length_that_is_no_number_is_refused_once(target, length):
    answer = raw(target, b"POST " + JOBS.encode() + b" HTTP/1.1\r\n" + HEAD + b"Content-Length: " + length +
                 b"\r\n\r\n{}GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")
    assert status(answer) in (400, 413), answer[:200]
    assert answer.count(b"HTTP/1.") == 1 and answer.count(b"\r\n\r\n") == 1, answer[:500]


# ---- Names ----

BUCKETS = ["", "a", "ab", "A" * 5, "a" * 64, "-abc", "abc-", "a..b", "a b", "a/b", "goog", "goog-x", "my-google-b", "10.0.0.1",
           "192.168.5.4", "a\x00b", "a\nb", "é" * 4, "a" * 300, ".abc", "abc.", "ABC.def", "a*b", "a?b", "a\\b"]


@pytest.mark.parametrize("name", BUCKETS, ids=[repr(b)[:20] for b in BUCKETS])
def test_a_bad_name_of_a_bucket_is_refused(target, name):
    assert refused(target, "POST", "/storage/v1/b?project=p1", json.dumps({"name": name}).encode()) == 400


OBJECT_NAMES = ["", ".", "..", "a\nb", "a\rb", "a\x00b", "\x00", "a" * 1025, "é" * 513]


@pytest.mark.parametrize("name", OBJECT_NAMES, ids=[repr(b)[:20] for b in OBJECT_NAMES])
def test_a_bad_name_of_an_object_is_refused(target, name):
    meta = json.dumps({"name": name}).encode()
    body = b"--b\r\nContent-Type: application/json\r\n\r\n" + meta + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"
    assert refused(target, "POST", "/upload" + OBJECTS + "?uploadType=multipart", body,
                   b"Content-Type: multipart/related; boundary=b\r\n") == 400


NULS = [
    ("POST", "/v1beta/webhooks", {"name": "a\x00b", "uri": "https://a.example/", "subscribedEvents": ["batch.failed"]}),
    ("POST", "/v1beta/webhooks", {"uri": "https://a.example/\x00b", "subscribedEvents": ["batch.failed"]}),
    ("POST", JOBS, a_job(displayName="a\x00b")),
    ("POST", JOBS, a_job(labels={"a\x00b": "x"})),
    ("POST", JOBS, a_job(labels={"x": "a\x00b"})),
    ("POST", JOBS, a_job(model="publishers/google/models/gemini-\x00")),
    ("POST", JOBS, a_job(inputConfig={"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://hostile/a\x00"]}})),
    ("POST", JOBS, a_job(inputConfig={"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://hos\x00tile/a"]}})),
    ("POST", JOBS, a_job(outputConfig=to("gs://hostile/a\x00"))),
    ("POST", JOBS, a_job(outputConfig=to("gs://hos\x00tile/a"))),
    ("POST", JOBS, a_job(instanceConfig={"keyField": "a\x00b"})),
    ("POST", JOBS, a_job(tranche={"requestId": "a\x00b"})),
    ("POST", BATCH, a_batch(displayName="a\x00b")),
    ("POST", BATCH, a_batch(inputConfig={"fileName": "files/a\x00b"})),
    ("POST", BATCH, a_batch(webhookConfig={"uris": ["https://a\x00b.example/"]})),
    ("POST", BATCH, a_batch(webhookConfig={"uris": ["https://a.example/"], "userMetadata": {"a": "a\x00b"}})),
    ("POST", "/storage/v1/b?project=p1", {"name": "nul-labels", "labels": {"a\x00b": "x"}}),
    ("POST", "/storage/v1/b?project=p1", {"name": "nul-labels", "labels": {"x": "a\x00b"}}),
    ("POST", "/upload/storage/v1/b/hostile/o?uploadType=resumable&name=x", {"metadata": {"x": "a\x00b"}}),
    ("POST", "/upload/storage/v1/b/hostile/o?uploadType=resumable&name=x", {"metadata": {"a\x00b": "x"}}),
    ("POST", "/v1beta/webhooks", {"uri": "https://a.example/", "subscribedEvents": ["batch.failed\x00"]}),
    ("GET", JOBS + "?filter=displayName%3D%22a%00b%22", None),
    ("GET", "/storage/v1/b?project=p%001", None),
    ("GET", "/storage/v1/b/hostile/o?prefix=a%00b", None),
    ("POST", "/v1beta/files:register", {"uris": ["gs://hostile/a\x00b"]}),
    ("POST", "/v1beta/files:register", {"uris": ["gs://hos\x00tile/a"]}),
]


@pytest.mark.parametrize("method, path, body", NULS, ids=[f"{p} {i}" for i, (_, p, _) in enumerate(NULS)])
def test_a_nul_in_a_name_is_refused(target, method, path, body):
    assert refused(target, method, path, json.dumps(body).encode()) in (400, 404)


# ---- Queries ----

QUERIES = ["pageSize=-1", "pageSize=1.5", "pageSize=x", "pageSize=99999999999999999999", "pageToken=x", "pageToken=%00",
           "pageToken=" + "0" * 64, "filter=%22", "filter=(", "filter=state%3D", "filter=" + "a" * 4097,
           "filter=nothing%3D1", "a=%zz", "a=%00", "a=%ff"]


@pytest.mark.parametrize("path", [JOBS, "/v1beta/batches"])
@pytest.mark.parametrize("query", QUERIES, ids=lambda q: q[:24])
def test_a_query_of_nonsense_is_400_or_has_no_effect(target, path, query):
    code, _, rest = send(target, "GET", f"{path}?{query}")
    assert code in (200, 400), rest[:200]


# ---- Another project's ids ----

@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A server with a job, a file, a webhook and an object of p1, and a key of p2."""
    running = Server(tmp_path_factory.mktemp("two"))
    job = {"displayName": "secret-name", "model": "publishers/google/models/tranche-fake",
           "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://of-p1/in"]}},
           "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://of-p1/out"}}}
    assert running.call("POST", "/storage/v1/b?project=p1", {"name": "of-p1"})[0] == 200
    running.upload("of-p1", "in", '{"request":{"contents":[{"role":"user","parts":[{"text":"a"}]}]}}\n')
    assert running.call("POST", JOBS, job)[0] == 200
    running.other = key(running, "p2")
    running.mine = key(running, "p1")
    names = running.call("GET", JOBS, headers=running.mine)[1]["batchPredictionJobs"]
    running.job = names[0]["name"].rsplit("/", 1)[1]
    body = {"uri": "https://a.example/", "subscribedEvents": ["batch.failed"]}
    running.hook = running.call("POST", "/v1beta/webhooks", body, running.mine)[1]["id"]
    yield running
    assert running.stop() == 0


def key(running, project):
    made = subprocess.run([PROGRAM, "keys", "create", "--project", project, "--role", "admin",
                           *running.place], capture_output=True, text=True, check=True)
    return {"x-goog-api-key": made.stdout.strip()}


PROBES = [
    ("GET", "/v1/projects/p2/locations/us-central1/batchPredictionJobs/{job}"),
    ("POST", "/v1/projects/p2/locations/us-central1/batchPredictionJobs/{job}:cancel"),
    ("DELETE", "/v1/projects/p2/locations/us-central1/batchPredictionJobs/{job}"),
    ("GET", "/v1/projects/p2/locations/us-central1/batchPredictionJobs/{job}:events"),
    ("GET", "/v1/projects/p2/locations/us-central1/batchPredictionJobs/{job}:results"),
    ("GET", "/v1beta/webhooks/{hook}"), ("DELETE", "/v1beta/webhooks/{hook}"), ("POST", "/v1beta/webhooks/{hook}:ping"),
    ("POST", "/v1beta/webhooks/{hook}:rotateSigningSecret"), ("GET", "/v1beta/webhooks/{hook}/deliveries"),
    ("GET", "/storage/v1/b/of-p1"), ("GET", "/storage/v1/b/of-p1/o"), ("GET", "/storage/v1/b/of-p1/o/in"),
    ("GET", "/storage/v1/b/of-p1/o/in?alt=media"), ("DELETE", "/storage/v1/b/of-p1/o/in"), ("DELETE", "/storage/v1/b/of-p1"),
]


@pytest.mark.parametrize("method, path", PROBES, ids=[f"{m} {p}" for m, p in PROBES])
def test_another_projects_id_is_answered_as_one_that_does_not_exist(two, method, path):
    absent = {"job": str(int(two.job) + 1), "hook": "x" * len(two.hook)}
    real = two.call(method, path.format(job=two.job, hook=two.hook), headers=two.other)
    none = two.call(method, path.format(**absent).replace("of-p1", "of-p9"), headers=two.other)
    assert real[0] == none[0] == 404
    text = json.dumps(real[1])
    for has, hides in ((two.job, absent["job"]), (two.hook, absent["hook"]), ("of-p1", "of-p9")):
        text = text.replace(has, hides)
    assert text == json.dumps(none[1])


def file_of(server, headers, name, text):
    """A file under a name that its client chose: (status, answer)."""
    body = (b"--b\r\nContent-Type: application/json\r\n\r\n" + json.dumps({"file": {"name": name}}).encode() +
            b"\r\n--b\r\nContent-Type: text/plain\r\n\r\n" + text + b"\r\n--b--\r\n")
    head = "".join(f"{k}: {v}\r\n" for k, v in headers.items()).encode()
    code, _, answer = send(server, "POST", "/upload/v1beta/files", body, head +
                           b"X-Goog-Upload-Protocol: multipart\r\nContent-Type: multipart/related; boundary=b\r\n")
    return code, json.loads(answer)


def test_a_files_id_that_another_project_chose_is_free(two):
    assert file_of(two, two.mine, "files/chosen", b"mine")[0] == 200
    assert two.call("GET", "/v1beta/files/chosen", headers=two.other)[0] == 404
    assert two.call("DELETE", "/v1beta/files/chosen", headers=two.other)[0] == 404
    code, made = file_of(two, two.other, "files/chosen", b"others")
    assert code == 200 and made["file"]["sizeBytes"] == "6"
    assert file_of(two, two.other, "files/chosen", b"x")[0] == 409
    assert two.call("DELETE", "/v1beta/files/chosen", headers=two.other)[0] == 200
    mine = two.call("GET", "/v1beta/files/chosen", headers=two.mine)
    assert mine[0] == 200 and mine[1]["sizeBytes"] == "4"


# ---- Clients that leave ----

def test_calls_whose_clients_have_left_wait_for_no_model(tmp_path):
    """The model answers one call in ten minutes, so the others would wait for hours."""
    running = Server(tmp_path, more="  - name: slow\n    kind: fake\n    fake: { delay_ms: 600000, window: 1 }\n")
    host, port = running.url.removeprefix("http://").split(":")
    body = b'{"contents":[{"parts":[{"text":"a"}]}]}'
    clients = [socket.create_connection((host, int(port))) for _ in range(50)]

    def ask(s):
        s.sendall(b"POST /v1beta/models/slow:generateContent HTTP/1.1\r\n" + HEAD +
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def reaches(gauge, value):
        for _ in range(600):
            text = running.call("GET", "/metrics")[1]
            if f'tranche_model_{gauge}{{model="slow"}} {value}' in text.splitlines():
                return True
            time.sleep(0.05)
        return False
    ask(clients[0])  # the one that the model works at
    assert reaches("in_flight", 1)
    for s in clients[1:]:
        ask(s)
    assert reaches("waiting", 49)
    for s in clients[1:]:
        s.close()
    assert reaches("waiting", 0)
    clients[0].close()
    assert running.stop() == 0


def test_there_are_as_many_cases_as_promised():
    assert sum(map(len, (HEADS, LENGTHS, BUCKETS, OBJECT_NAMES, NULS, PROBES))) + len(QUERIES) * 2 + \
        len(BODIES) * len(TAKERS) + len(STEPS) * len(PLACES) + 5 * 7 >= 400
