"""Hostile clients of the BigQuery API, by tables. A refusal is 4xx in words and in BigQuery's form; no case may end
in 5xx, in a path of the server, or hold up the calls of others."""
import json
import re
import time

import pytest

from test_hostile import target  # noqa: F401: a fixture
from test_hostile_tables import BODIES, STEPS, refused, send

B = "/bigquery/v2/projects/p1"
D = B + "/datasets/hostile_d"
T = D + "/tables/t"
UPLOAD = "/upload/bigquery/v2/projects/p1/jobs"


@pytest.fixture(scope="module", autouse=True)
def tables(target):
    for path, body in ((B + "/datasets", {"datasetReference": {"datasetId": "hostile_d"}}),
                       (D + "/tables", {"tableReference": {"tableId": "t"}, "schema": {"fields": [
                           {"name": "n", "type": "INTEGER"}, {"name": "s", "type": "STRING"},
                           {"name": "j", "type": "JSON"}, {"name": "r", "type": "RECORD", "fields": [
                               {"name": "x", "type": "STRING"}]}]}})):
        code, _, rest = send(target, "POST", path, json.dumps(body).encode())
        assert code == 200, rest
    yield
    started = time.monotonic()
    code, _, rest = send(target, "GET", T)
    assert code == 200 and time.monotonic() - started < 30, rest


def refused_so(server, method, path, body=None, head=b"", codes=(400, 404, 409, 413)):
    """Refused, with errors[] as BigQuery's clients read them, and no reason that they would try again."""
    text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    code, top, rest = send(server, method, path, text, head)
    assert code in codes, (code, rest[:300])
    assert str(server.folder).encode() not in top + rest
    error = json.loads(rest)["error"]
    if code != 413:
        assert error["errors"][0]["reason"] not in ("backendError", "internalError", "rateLimitExceeded", "badGateway")
    assert len(error["message"]) > 3
    return error


TAKERS = [("POST", B + "/datasets"), ("PATCH", D), ("PUT", D), ("POST", D + "/tables"), ("PATCH", T), ("PUT", T),
          ("POST", T + "/insertAll"), ("POST", B + "/jobs"), ("POST", B + "/queries"), ("POST", "/projects/p1/queries"),
          ("POST", UPLOAD + "?uploadType=resumable")]


@pytest.mark.parametrize("method, path", TAKERS, ids=[f"{m} {p}" for m, p in TAKERS])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_no_json_object_is_refused(target, method, path, body):
    refused_so(target, method, path, body)


PLACES = [B + "/datasets/{}", D + "/tables/{}", T + "/../{}", B + "/jobs/{}", B + "/queries/{}",
          D + "/routines/{}", "/projects/p1/datasets/{}/tables", "/bigquery/v2/projects/{}/datasets/x",
          UPLOAD + "?uploadType={}", D + "/models/{}"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_step_that_names_nothing_is_refused(target, place, step):
    method = "POST" if place.startswith(UPLOAD) else "GET"
    code, top, rest = send(target, method, place.format(step), b"{}" if method == "POST" else b"")
    assert 400 <= code < 500, rest[:200]
    assert b"X-Evil: 1" not in top and b"root:" not in rest


@pytest.mark.parametrize("token", ["x", "0" * 64, "1.", ".a", "1.a%2fb", "-1.a", "9" * 30 + ".a"])
def test_a_page_token_that_we_did_not_make_is_refused(target, token):
    for path in (T + "/data", B + "/jobs"):
        refused_so(target, "GET", f"{path}?pageToken={token}")


NAMES = ["", " ", "a b", "a-b", "../x", "a/b", "é", "a" * 1025, "a\nb", "a\x00b", "a'b", 'a"b', "a;b", "a`b", "--"]


@pytest.mark.parametrize("name", NAMES, ids=[repr(n)[:20] for n in NAMES])
def test_a_bad_name_of_a_dataset_is_refused(target, name):
    refused_so(target, "POST", B + "/datasets", {"datasetReference": {"datasetId": name}})


TABLE_NAMES = ["", "a/b", "a.b", "a" * 1025, "a\nb", "a\x00b", "a'b", 'a"b', "a;b", "a`b", "a$b", "a*"]


@pytest.mark.parametrize("name", TABLE_NAMES, ids=[repr(n)[:20] for n in TABLE_NAMES])
def test_a_bad_name_of_a_table_is_refused(target, name):
    refused_so(target, "POST", D + "/tables", {"tableReference": {"tableId": name}})


def nested(deep):
    field = {"name": "x", "type": "STRING"}
    for _ in range(deep):
        field = {"name": "x", "type": "RECORD", "fields": [field]}
    return [field]


SCHEMAS = {
    "no name": [{"type": "STRING"}], "no type": [{"name": "a"}], "quote": [{"name": 'a"b', "type": "STRING"}],
    "semicolon": [{"name": "a;drop", "type": "STRING"}], "twice": [{"name": "a", "type": "STRING"}] * 2,
    "deep": nested(16), "very deep": nested(28), "wide": [{"name": f"c{i}", "type": "STRING"} for i in range(10001)],
    "long": [{"name": "a" * 301, "type": "STRING"}], "number": [7], "text": "x", "type number": [{"name": "a", "type": 7}],
    "negative length": [{"name": "a", "type": "STRING", "maxLength": "-1"}],
    "empty record": [{"name": "a", "type": "RECORD", "fields": []}],
}


@pytest.mark.parametrize("fields", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_a_bad_schema_is_refused(target, fields):
    refused_so(target, "POST", D + "/tables", {"tableReference": {"tableId": "bad"}, "schema": {"fields": fields}})
    assert send(target, "GET", D + "/tables/bad")[0] == 404


QUERIES = {
    "none": {}, "number": {"query": 7}, "NUL": {"query": "SELECT '\x00'"}, "long": {"query": "SELECT 1 -- " + "x" * 1048576},
    "legacy": {"query": "SELECT 1", "useLegacySql": True}, "open": {"query": "SELECT ("},
    "deep": {"query": "SELECT " + "(" * 20000 + "1" + ")" * 20000}, "file": {"query": "SELECT * FROM read_csv('/etc/passwd')"},
    "file name": {"query": "SELECT * FROM '/etc/passwd'"}, "attach": {"query": "ATTACH '/etc/passwd' AS x"},
    "pragma": {"query": "PRAGMA version"}, "copy": {"query": "COPY (SELECT 1) TO '/tmp/x'"},
    "settings": {"query": "SELECT * FROM duckdb_settings()"}, "getenv": {"query": "SELECT getenv('HOME')"},
    "parameter type": {"query": "SELECT @a", "queryParameters": [{"name": "a", "parameterType": {"type": "X"}}]},
    "parameter value": {"query": "SELECT @a", "queryParameters": [
        {"name": "a", "parameterType": {"type": "INT64"}, "parameterValue": {"value": "x"}}]},
    "parameters": {"query": "SELECT 1", "queryParameters": [
        {"parameterType": {"type": "INT64"}, "parameterValue": {"value": "1"}}] * 10001},
    "mixed parameters": {"query": "SELECT 1", "queryParameters": [
        {"parameterType": {"type": "INT64"}, "parameterValue": {"value": "1"}},
        {"name": "a", "parameterType": {"type": "INT64"}, "parameterValue": {"value": "1"}}]},
    "array of arrays": {"query": "SELECT @a", "queryParameters": [{"name": "a", "parameterType": {
        "type": "ARRAY", "arrayType": {"type": "ARRAY", "arrayType": {"type": "INT64"}}}}]},
    "dataset": {"query": "SELECT * FROM t", "defaultDataset": {"datasetId": "../x"}},
    "session": {"query": "SELECT 1", "connectionProperties": [{"key": "session_id", "value": "../../etc"}]},
}


@pytest.mark.parametrize("body", QUERIES.values(), ids=QUERIES.keys())
def test_a_bad_query_is_refused(target, body):
    error = refused_so(target, "POST", B + "/queries", body)
    assert "root:" not in json.dumps(error)


NUMBERS = ["-1", "1.5", "x", "99999999999999999999", "%00", "0x10"]


@pytest.mark.parametrize("key", ["maxResults", "startIndex", "timeoutMs"])
@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_of_nonsense_is_400_or_has_no_effect(target, key, number):
    for path in (T + "/data", B + "/datasets", B + "/jobs"):
        code, _, rest = send(target, "GET", f"{path}?{key}={number}")
        assert code in (200, 400), rest[:200]


def test_rows_far_behind_the_last_are_none(target):
    code, _, rest = send(target, "GET", T + "/data?startIndex=9223372036854775807")
    assert code == 200 and "rows" not in json.loads(rest), rest
    refused_so(target, "GET", T + "/data?selectedFields=nothing")


JOBS = {
    "nothing": {}, "no kind": {"configuration": {}}, "two": {"configuration": {"query": {"query": "SELECT 1"}, "load": {}}},
    "bad id": {"jobReference": {"jobId": "a/b"}, "configuration": {"query": {"query": "SELECT 1"}}},
    "long id": {"jobReference": {"jobId": "a" * 1025}, "configuration": {"query": {"query": "SELECT 1"}}},
    "format": {"configuration": {"load": {"sourceFormat": "AVRO"}}},
    "extract's format": {"configuration": {"extract": {"destinationFormat": "AVRO"}}},
    "other project": {"jobReference": {"projectId": "p2"}, "configuration": {"query": {"query": "SELECT 1"}}},
}


@pytest.mark.parametrize("body", JOBS.values(), ids=JOBS.keys())
def test_a_bad_job_is_refused(target, body):
    refused_so(target, "POST", B + "/jobs", body)


def failed_job(server, configuration):
    code, _, rest = send(server, "POST", B + "/jobs", json.dumps({"configuration": configuration}).encode())
    job = json.loads(rest)
    while code == 200 and job["status"]["state"] != "DONE":
        code, _, rest = send(server, "GET", B + "/jobs/" + job["jobReference"]["jobId"])
        job = json.loads(rest)
    assert code == 200, rest
    assert str(server.folder) not in rest.decode()
    return job["status"]["errorResult"]


TO = {"projectId": "p1", "datasetId": "hostile_d", "tableId": "loaded"}
FAILING = {
    "no source": {"load": {"destinationTable": TO}},
    "a file of the machine": {"load": {"destinationTable": TO, "sourceUris": ["/etc/passwd"]}},
    "a file URI": {"load": {"destinationTable": TO, "sourceUris": ["file:///etc/passwd"]}},
    "an address": {"load": {"destinationTable": TO, "sourceUris": ["http://127.0.0.1/x"]}},
    "up": {"load": {"destinationTable": TO, "sourceUris": ["gs://hostile/../../etc/passwd"]}},
    "no object": {"load": {"destinationTable": TO, "sourceUris": ["gs://hostile/*"]}},
    "partition": {"load": {"destinationTable": {**TO, "tableId": "t$20240101"}, "sourceUris": ["gs://hostile/x"]}},
    "extract to a file": {"extract": {"sourceTable": {**TO, "tableId": "t"}, "destinationUris": ["/tmp/x"]}},
    "extract to no bucket": {"extract": {"sourceTable": {**TO, "tableId": "t"}, "destinationUris": ["gs://no-such-bucket-1/x"]}},
    "copy of nothing": {"copy": {"sourceTable": {**TO, "tableId": "none"}, "destinationTable": TO}},
    "copy without source": {"copy": {"destinationTable": TO}},
    "disposition": {"copy": {"sourceTable": TO, "destinationTable": TO, "writeDisposition": "WRITE_ALL"}},
}


@pytest.mark.parametrize("configuration", FAILING.values(), ids=FAILING.keys())
def test_a_job_that_cannot_be_done_fails_in_words(target, configuration):
    error = failed_job(target, configuration)
    assert error["reason"] in ("invalid", "notFound") and "root:" not in error["message"]


ROWS = {
    "none": {}, "empty": {"rows": []}, "no list": {"rows": 7}, "many": {"rows": [{"json": {"n": 1}}] * 50001},
    "suffix": {"templateSuffix": "/../x", "rows": [{"json": {"n": 1}}]}, "NUL": {"rows": [{"json": {"s": "a\x00"}}]},
}


@pytest.mark.parametrize("body", ROWS.values(), ids=ROWS.keys())
def test_rows_that_are_none_are_refused(target, body):
    refused_so(target, "POST", T + "/insertAll", body)


BAD_ROWS = [7, None, [], {"n": "x"}, {"n": 1e300}, {"n": [1]}, {"n": {"a": 1}}, {"s": {"a": 1}}, {"r": 7}, {"r": {"y": 1}},
            {"r": [1]}, {"more": 1}, {"n" * 5000: 1}, {"": 1}]


@pytest.mark.parametrize("row", BAD_ROWS, ids=[repr(r)[:20] for r in BAD_ROWS])
def test_a_bad_row_is_named(target, row):
    code, _, rest = send(target, "POST", T + "/insertAll", json.dumps({"rows": [{"json": row}]}).encode())
    answer = json.loads(rest)
    assert code == 200 and answer["insertErrors"][0]["index"] == 0, rest[:300]


IDS = ["x", "../../../etc/passwd", "%00", "a" * 5000, "%2e%2e%2f", "'; DROP TABLE x; --"]


@pytest.mark.parametrize("upload", IDS, ids=lambda i: i[:20])
def test_an_upload_that_was_never_begun_is_not_found(target, upload):
    for host in ("/upload", "/resumable/upload"):
        code, _, rest = send(target, "PUT", f"{host}/bigquery/v2/projects/p1/jobs?upload_id={upload}".replace(" ", "%20"),
                             b"abc", b"Content-Range: bytes 0-2/3\r\n")
        assert code in (400, 404, 414), rest[:200]


def test_an_upload_of_objects_is_none_of_tables(target):
    code, top, _ = send(target, "POST", "/upload/storage/v1/b/hostile/o?uploadType=resumable&name=x", b"{}")
    assert code == 200
    upload = next(line for line in top.split(b"\r\n") if line.lower().startswith(b"x-guploader")).split(b": ")[1].decode()
    code, _, rest = send(target, "PUT", f"{UPLOAD}?upload_id={upload}", b"abc", b"Content-Range: bytes 0-2/3\r\n")
    assert code == 404, rest[:200]


PARTS = {
    "no boundary": (b"multipart/related", b"x"), "no multipart": (b"text/plain", b"x"),
    "one part": (b"multipart/related; boundary=b", b"--b\r\n\r\n{}\r\n--b--\r\n"),
    "three": (b"multipart/related; boundary=b", b"--b\r\n\r\n{}\r\n" * 3 + b"--b--\r\n"),
    "no end": (b"multipart/related; boundary=b", b"--b\r\n\r\n{}\r\n--b\r\n\r\nx"),
    "no job": (b"multipart/related; boundary=b", b"--b\r\n\r\n[]\r\n--b\r\n\r\nx\r\n--b--\r\n"),
    "a query": (b"multipart/related; boundary=b",
                b'--b\r\n\r\n{"configuration":{"query":{"query":"SELECT 1"}}}\r\n--b\r\n\r\nx\r\n--b--\r\n'),
    "large job": (b"multipart/related; boundary=b", b"--b\r\n\r\n" + b" " * (5 << 20) + b"{}\r\n--b\r\n\r\nx\r\n--b--\r\n"),
}


@pytest.mark.parametrize("kind, body", PARTS.values(), ids=PARTS.keys())
def test_a_multipart_body_that_is_no_load_is_refused(target, kind, body):
    refused_so(target, "POST", UPLOAD + "?uploadType=multipart", body, b"Content-Type: " + kind + b"\r\n")


def test_a_bomb_of_gzip_is_refused(target):
    import gzip
    body = gzip.compress(b'{"rows":[' + b" " * (200 << 20) + b"]}")
    code = refused(target, "POST", T + "/insertAll", body, b"Content-Encoding: gzip\r\n")
    assert code in (400, 413)


HUNGRY = {
    "a long text": "SELECT REPEAT('a', 1000000000)", "a text of texts": "SELECT REPEAT(REPEAT('a', 1000000), 1000000)",
    "padding": "SELECT LPAD('a', 2000000000, 'b')",
    "replacements": "SELECT REPLACE(REPEAT('a', 1000000), 'a', REPEAT('b', 1000000))",
    "patterns": "SELECT REGEXP_REPLACE(REPEAT('a', 1000000), 'a', REPEAT('b', 1000000))",
    "a long array": "SELECT ARRAY_LENGTH(GENERATE_ARRAY(1, 1000000000000))",
    "many long texts": "SELECT SUM(LENGTH(REPEAT(t, 10000000))) FROM UNNEST(SPLIT(REPEAT('a,', 2000))) t",
    "many long arrays": "SELECT SUM(ARRAY_LENGTH(GENERATE_ARRAY(1, LENGTH(t) * 10000000))) FROM UNNEST(SPLIT(REPEAT('a,', 2000))) t",
    "one text of all": "SELECT STRING_AGG(REPEAT(t, 1000000)) FROM UNNEST(SPLIT(REPEAT('a,', 5000))) t",
    "a recursive text": "WITH RECURSIVE r AS (SELECT 'a' AS n UNION ALL SELECT CONCAT(n, n) FROM r) SELECT COUNT(*) FROM r",
    "a script's text": "DECLARE x STRING DEFAULT 'a'; WHILE TRUE DO SET x = CONCAT(x, x); END WHILE",
    "texts put together": "SELECT " + " || ".join(["REPEAT(t, 10000000)"] * 3) + " FROM UNNEST(SPLIT('a,b')) t",
    "deep JSON": "SELECT PARSE_JSON(REPEAT('[', 1000000))",
}
HUNGRY_GROWTH = 2 << 30  # the engine's limit is 1 GiB, and a vector's results come on top


@pytest.mark.parametrize("query", HUNGRY.values(), ids=HUNGRY)
def test_a_query_that_asks_for_all_memory_is_refused_in_words(target, query):
    status = f"/proc/{target.process.pid}/status"
    before = int(re.search(r"VmRSS:\s+(\d+)", open(status).read())[1]) << 10
    error = refused_so(target, "POST", B + "/queries", {"query": query, "useLegacySql": False, "timeoutMs": 100000}, codes=(400,))
    assert "nternal error" not in error["message"]
    after = int(re.search(r"VmHWM:\s+(\d+)", open(status).read())[1]) << 10
    assert after - before < HUNGRY_GROWTH
