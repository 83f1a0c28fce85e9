"""Goal: a batch job reads and makes tables as the real service does, refuses what it refuses before any work, and
loses nothing. Method: `tranche serve` with tables of its own, made and read by plain HTTP."""
import json
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "accept"))
import bq  # noqa: E402
from server import CONFIG, PROGRAM, Server, line, wait_until  # noqa: E402

PROJECT = "p1"
FINAL = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED")
PLAIN = {"id": "INTEGER", "request": "JSON"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("serve"), "--test-clock")
    yield running
    assert running.stop() == 0


@pytest.fixture
def name(request):
    """A dataset for each test."""
    return PROJECT + "." + request.node.name.split("[")[0].removeprefix("test_")[:60]


def create(server, source, destination, project=PROJECT, headers=None, **more):
    status, job = server.call("POST", bq.JOBS.format(project),
                              bq.job_body(source, destination, **more), headers)
    assert status == 200, job
    return job


def end(server, job, headers=None):
    def ended():
        status, now = server.call("GET", "/v1/" + job["name"], headers=headers)
        assert status == 200, now
        return now if now["state"] in FINAL else None
    return wait_until(ended)


def run(server, source, destination, **more):
    job = end(server, create(server, source, destination, **more))
    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    return job


def refused(server, source, destination, **more):
    job = end(server, create(server, source, destination, **more))
    assert job["state"] == "JOB_STATE_FAILED", job
    assert "startTime" not in job, job  # before any work
    return job["error"]


def simple(count=3):
    return [{"id": i, "request": bq.request(f"request {i}")} for i in range(count)]


# ---- From table to table ----

def test_a_table_of_texts_becomes_a_table_of_vectors(tmp_path):
    """The embedded model: without test mode."""
    running = Server(tmp_path)
    try:
        name = PROJECT + ".vectors"
        texts = ["How do I reset my password?", "I forgot my login", ""]
        bq.table(running, f"{name}.in", PLAIN, [
            {"id": i, "request": {"content": {"parts": [{"text": t}]}, "outputDimensionality": 20}}
            for i, t in enumerate(texts)])
        body = bq.job_body(f"bq://{name}.in", f"bq://{name}.out", model="publishers/google/models/text-embedding-005")
        status, job = running.call("POST", bq.JOBS.format(PROJECT), body)
        assert status == 200, job
        job = end(running, job)
        assert job["state"] == "JOB_STATE_SUCCEEDED", job
        assert job["completionStats"] == {"successfulCount": "2", "failedCount": "1"}
        rows = sorted(bq.rows(running, f"{name}.out"), key=lambda row: int(row["id"]))
        vectors = [row["response"]["embedding"]["values"] for row in rows[:2]]
        assert [len(v) for v in vectors] == [20, 20] and rows[2]["status"].startswith("Bad Request")
    finally:
        assert running.stop() == 0


def test_a_table_becomes_a_table_with_its_columns_and_the_answers(server, name):
    bq.table(server, f"{name}.in", PLAIN, simple())
    job = run(server, f"bq://{name}.in", f"bq://{name}.out")
    assert job["outputInfo"] == {"bigqueryOutputTable": f"bq://{name}.out"}
    assert job["completionStats"] == {"successfulCount": "3"}
    assert bq.fields(server, f"{name}.out") == {
        "id": "INTEGER", "request": "JSON", "response": "JSON", "status": "STRING",
        "processed_time": "TIMESTAMP"}
    rows = bq.rows(server, f"{name}.out")
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    assert [row["status"] for row in rows] == ["", "", ""]
    assert [bq.answer(row) for row in rows] == [f"echo: request {i}" for i in range(3)]
    assert rows[1]["request"] == json.loads(bq.request("request 1"))
    assert all(int(row["processed_time"]) > 1_700_000_000_000_000 for row in rows)
    assert bq.tables(server, *name.split(".")) == ["in", "out"]  # nothing hidden is left


def test_every_allowed_type_is_carried_with_its_value(server, name):
    types = {"i": "INTEGER", "f": "FLOAT", "b": "BOOLEAN", "n": "NUMERIC", "big": "BIGNUMERIC",
             "by": "BYTES", "d": "DATE", "t": "TIME", "ts": "TIMESTAMP", "j": "JSON", "s": "STRING",
             "request": "STRING"}
    filled = {"i": "9223372036854775807", "f": "1.5", "b": True, "n": "12345678901234567890.123456789",
              "big": "1.00000000000000000000000000000000000001", "by": "AAH/", "d": "2024-02-29",
              "t": "12:00:00.000001", "ts": "2024-01-31 12:00:00.000001+00",
              "j": "{\"a\": [1, 2.50, null]}", "s": "a \"quoted\"\nline, \u00e9", "key": None,
              "request": "{\n  \"contents\": [{\"parts\": [{\"text\": \"hi\"}]}]\n}"}
    del filled["key"]
    bq.table(server, f"{name}.in", types, [filled, {"request": bq.request("second")}])
    run(server, f"bq://{name}.in", f"bq://{name}.out")
    out = bq.fields(server, f"{name}.out")
    assert {key: out[key] for key in types} == types
    before, after = (bq.rows(server, f"{name}.{table}") for table in ("in", "out"))
    for old, new in zip(before, after, strict=True):
        assert {key: new[key] for key in types} == old
        assert new["status"] == "" and new["response"]


def test_a_request_may_be_json_text_or_a_struct(server, name):
    struct = [{"name": "request", "type": "RECORD", "fields": [
        {"name": "contents", "type": "RECORD", "mode": "REPEATED", "fields": [
            {"name": "role", "type": "STRING"},
            {"name": "parts", "type": "RECORD", "mode": "REPEATED", "fields": [
                {"name": "text", "type": "STRING"}]}]}]}]
    value = json.loads(bq.request("hello"))
    for table, columns, cell in (("a", {"request": "JSON"}, bq.request("hello")),
                                 ("b", {"request": "STRING"}, bq.request("hello")),
                                 ("c", struct, value)):
        bq.table(server, f"{name}.{table}", columns, [{"request": cell}])
        run(server, f"bq://{name}.{table}", f"bq://{name}.{table}_out")
        assert bq.answer(bq.rows(server, f"{name}.{table}_out")[0]) == "echo: hello"


def test_a_request_over_several_lines_is_one_line_of_jsonl(server, name):
    """Line feeds stand between the tokens of the STRING column's JSON, and as \\n in its texts."""
    server.upload("lines", "x", "")
    texts = ["one", "two\nlines", "x"]
    requests = [json.dumps(json.loads(bq.request(text)), indent=2) for text in texts[:2]]
    requests.append("\r\n" + json.dumps(json.loads(bq.request("x")), indent=1).replace("\n", "\r\n"))
    bq.table(server, f"{name}.in", {"id": "INTEGER", "request": "STRING"},
             [{"id": i, "request": text} for i, text in enumerate(requests)])
    job = run(server, f"bq://{name}.in", "gs://lines/out")
    folder = job["outputInfo"]["gcsOutputDirectory"].removeprefix("gs://lines/")
    output = server.download("lines", folder + "/predictions.jsonl")
    rows = [json.loads(row) for row in output.splitlines()]
    assert [row["id"] for row in rows] == [0, 1, 2]
    assert [row["request"]["contents"][0]["parts"][0]["text"] for row in rows] == texts
    assert [row["status"] for row in rows] == ["", "", ""]


def test_the_command_line_asks_a_running_service(server, name, tmp_path):
    project, dataset = name.split(".")
    bq.table(server, f"{name}.t", {"id": "INTEGER", "text": "STRING"},
             [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}])

    def table(*arguments):
        return subprocess.run([PROGRAM, "table", *arguments, "--state", server.folder / "state",
                               "--project", project], cwd=tmp_path, capture_output=True, text=True,
                              timeout=60, check=False)
    rows = table("sql", f"SELECT id, text FROM `{dataset}.t` ORDER BY id", "--json")
    assert rows.returncode == 0, rows.stderr
    assert [json.loads(row) for row in rows.stdout.splitlines()] == [
        {"id": "1", "text": "a"}, {"id": "2", "text": "b"}]
    assert "INT64" in table("schema", f"{dataset}.t").stdout
    assert dataset in table("ls").stdout and "t" in table("ls", dataset).stdout.split()
    (tmp_path / "more.csv").write_text("n,word\n1,x\n2,y\n")
    loaded = table("load", "more.csv", f"{dataset}.more")
    assert loaded.returncode == 0, loaded.stderr
    assert len(bq.rows(server, f"{name}.more")) == 2
    refused = table("export", f"{dataset}.t", "t.csv")
    assert refused.returncode != 0 and "tranche table sql --json" in refused.stderr


def test_a_table_of_no_rows_is_no_job(server, name):
    bq.table(server, f"{name}.in", PLAIN)
    error = refused(server, f"bq://{name}.in", f"bq://{name}.out")
    assert "has no requests" in error["message"]


def test_a_job_keeps_the_rows_that_its_table_had(server, name):
    bq.table(server, f"{name}.in", PLAIN, simple())
    job = create(server, f"bq://{name}.in", f"bq://{name}.out")
    wait_until(lambda: server.call("GET", "/v1/" + job["name"])[1]["state"] != "JOB_STATE_PENDING")
    bq.drop(server, f"{name}.in")
    assert end(server, job)["state"] == "JOB_STATE_SUCCEEDED"
    assert len(bq.rows(server, f"{name}.out")) == 3


# ---- Views ----

@pytest.mark.parametrize("query", [
    "SELECT id, request FROM `{}.in` WHERE id > 0 ORDER BY id DESC",
    "SELECT id, request FROM `{}.in` ORDER BY id LIMIT 2;",
    "SELECT * EXCEPT (tags) FROM `{}.wide` -- without what is refused\n",
    "/* a comment */ SELECT 7 AS id, JSON '{{\"contents\": [{{\"parts\": [{{\"text\": \"x\"}}]}}]}}' AS request",
    "SELECT id, TO_JSON(STRUCT([STRUCT([STRUCT(t AS text)] AS parts)] AS contents)) AS request "
    "FROM UNNEST(['a', 'b']) AS t WITH OFFSET AS id",
])
def test_a_view_is_computed_once(server, name, query):
    which = str(abs(hash(query)))
    if not bq.exists(server, f"{name}.in"):
        bq.table(server, f"{name}.in", PLAIN, simple())
        bq.table(server, f"{name}.wide", [
            {"name": "id", "type": "INTEGER"}, {"name": "request", "type": "JSON"},
            {"name": "tags", "type": "STRING", "mode": "REPEATED"}],
            [{**row, "tags": ["x"]} for row in simple()])
    bq.view(server, f"{name}.view-{which}", query.format(name))
    run(server, f"bq://{name}.view-{which}", f"bq://{name}.out_{which}")
    rows = bq.rows(server, f"{name}.out_{which}")
    assert rows and all(row["status"] == "" for row in rows)
    assert list(bq.fields(server, f"{name}.out_{which}"))[:2] == ["id", "request"]


# ---- Files and tables ----

def test_lines_become_a_table_with_a_column_for_each_key(server, name):
    server.upload("tjobs1", "in.jsonl", "\n".join([
        line("a", key="k1", n=1, ok=True), line("b", key="k2", n=2.5, tags=["x"]),
        "no JSON", line("c", n="text", ok=None)]) + "\n")
    job = run(server, "gs://tjobs1/in.jsonl", f"bq://{name}.out")
    assert job["completionStats"] == {"successfulCount": "3", "failedCount": "1"}
    assert bq.fields(server, f"{name}.out") == {
        "key": "STRING", "n": "STRING", "ok": "BOOLEAN", "tags": "JSON", "request": "JSON",
        "response": "JSON", "status": "STRING", "processed_time": "TIMESTAMP"}
    rows = bq.rows(server, f"{name}.out")
    assert [row["key"] for row in rows] == ["k1", "k2", None, None]
    assert [row["n"] for row in rows] == ["1", "2.5", None, "text"]
    assert rows[1]["tags"] == ["x"]
    assert rows[2]["request"] == "no JSON" and rows[2]["response"] is None and rows[2]["status"]


def test_a_table_becomes_lines_with_a_key_for_each_column(server, name):
    server.upload("tjobs2", "x", "")
    bq.table(server, f"{name}.in", {"id": "INTEGER", "n": "NUMERIC", "at": "TIMESTAMP", "no": "STRING",
                                    "j": "JSON", "request": "STRING"},
             [{"id": 7, "n": "1.5", "at": "2024-01-31T12:00:00Z", "j": "{\"a\":1}",
               "request": bq.request("hi")}])
    job = run(server, f"bq://{name}.in", "gs://tjobs2/out")
    directory = job["outputInfo"]["gcsOutputDirectory"].removeprefix("gs://tjobs2/")
    row = json.loads(server.download("tjobs2", directory + "/predictions.jsonl"))
    assert row["id"] == 7 and row["j"] == {"a": 1} and "no" not in row
    assert row["n"] == "1.5" and row["at"].startswith("2024-01-31 12:00:00")
    assert row["request"] == json.loads(bq.request("hi")) and bq.answer(row) == "echo: hi"


def test_keys_that_cannot_be_columns_are_refused_before_any_work(server, name):
    server.upload("tjobs3", "in.jsonl", line("a", **{"$id": 1}) + "\n")
    assert "$id" in refused(server, "gs://tjobs3/in.jsonl", f"bq://{name}.out")["message"]
    server.upload("tjobs3", "case.jsonl", line("a", Response=1) + "\n")
    assert "Rename it" in refused(server, "gs://tjobs3/case.jsonl", f"bq://{name}.out")["message"]


# ---- Where the output goes ----

def test_an_output_without_table_or_dataset_gets_names(server, name):
    bq.table(server, f"{name}.in", PLAIN, simple())
    job = run(server, f"bq://{name}.in", f"bq://{PROJECT}.made_for_{name.split('.')[1][:20]}")
    table = job["outputInfo"]["bigqueryOutputTable"]
    assert table.startswith(f"bq://{PROJECT}.made_for_") and ".predictions_2" in table
    assert len(bq.rows(server, table)) == 3
    job = run(server, f"bq://{name}.in", f"bq://{PROJECT}")
    table = job["outputInfo"]["bigqueryOutputTable"]
    assert table.startswith(f"bq://{PROJECT}.prediction_gemini_2_5_flash_2")
    assert table.endswith("Z.predictions")
    assert len(bq.rows(server, table)) == 3


def test_an_output_that_is_there_is_refused_before_any_work(server, name):
    bq.table(server, f"{name}.in", PLAIN, simple())
    bq.table(server, f"{name}.out", {"x": "INTEGER"})
    error = refused(server, f"bq://{name}.in", f"bq://{name}.out")
    assert error["code"] == 6
    assert error["message"].startswith(f"Already Exists: Table {name.replace('.', ':', 1)}.out")
    assert bq.fields(server, f"{name}.out") == {"x": "INTEGER"}


def test_an_output_that_appears_meanwhile_costs_no_answer(server, name):
    slow = bq.request("last", labels={"tranche-test": "delay-60000"})
    bq.table(server, f"{name}.in", PLAIN, [*simple(2), {"id": 2, "request": slow}])
    job = create(server, f"bq://{name}.in", f"bq://{name}.out")
    path = "/v1/" + job["name"]
    wait_until(lambda: server.call("GET", path)[1].get("completionStats", {}).get("successfulCount") == "2")
    bq.table(server, f"{name}.out", {"x": "INTEGER"})
    server.advance(61)
    job = end(server, job)
    assert job["state"] == "JOB_STATE_FAILED" and "Already Exists" in job["error"]["message"]
    assert "answers are kept" in job["error"]["message"]
    status, text = server.call("GET", path + ":results")
    assert status == 200 and text.count("echo: ") == 3
    assert bq.fields(server, f"{name}.out") == {"x": "INTEGER"}
    assert bq.rows(server, f"{name}.out") == []


def test_a_retry_has_a_table_of_its_own(server, name):
    """The answers of both jobs are in it, and the first job's table stays."""
    bq.table(server, f"{name}.in", PLAIN, [
        *simple(2), {"id": 2, "request": bq.request("x", labels={"tranche-test": "invalid_argument"})}])
    job = run(server, f"bq://{name}.in", f"bq://{name}.out")
    assert job["completionStats"] == {"successfulCount": "2", "failedCount": "1"}
    status, again = server.call("POST", "/v1/" + job["name"] + ":retryFailed", {})
    assert status == 200, again
    again = end(server, again)
    table = again["outputInfo"]["bigqueryOutputTable"]
    assert table.startswith(f"bq://{name}.out_retry_2")
    assert len(bq.rows(server, table)) == len(bq.rows(server, f"{name}.out")) == 3


def test_a_cancelled_job_says_which_rows_were_not_run(server, name):
    hang = bq.request("x", labels={"tranche-test": "hang"})
    bq.table(server, f"{name}.in", PLAIN, [*simple(1), {"id": 1, "request": hang}])
    job = create(server, f"bq://{name}.in", f"bq://{name}.out")
    path = "/v1/" + job["name"]
    wait_until(lambda: server.call("GET", path)[1].get("completionStats", {}).get("successfulCount"))
    assert server.call("POST", path + ":cancel", {})[0] == 200
    job = end(server, job)
    assert job["state"] == "JOB_STATE_CANCELLED"
    rows = bq.rows(server, f"{name}.out")
    assert rows[0]["status"] == "" and "cancelled" in rows[1]["status"]


# ---- What is refused ----

@pytest.mark.parametrize("fields, words", [
    ({"id": "INTEGER"}, 'no column "request"'),
    ({"request": "BYTES"}, "of type BYTES"),
    ({"request": "JSON", "response": "JSON"}, '"response" is written by the service'),
    ({"request": "JSON", "status": "STRING"}, '"status" is written by the service'),
    ({"request": "JSON", "at": "DATETIME"}, '"at" is of type DATETIME'),
    ({"request": "JSON", "g": "GEOGRAPHY"}, '"g" is of type GEOGRAPHY'),
    ([{"name": "request", "type": "JSON"}, {"name": "tags", "type": "STRING", "mode": "REPEATED"}],
     '"tags" is of type ARRAY'),
    ([{"name": "request", "type": "JSON"}, {"name": "s", "type": "RECORD", "fields": [
        {"name": "a", "type": "STRING"}]}], '"s" is of type STRUCT'),
    ([{"name": "request", "type": "JSON"}, {"name": "r", "type": "RANGE", "rangeElementType": {
        "type": "DATE"}}], '"r" is of type RANGE'),
])
def test_columns_that_google_refuses_are_refused_before_any_work(server, name, fields, words):
    table = f"{name}.t{abs(hash(words))}"
    bq.table(server, table, fields)
    assert words in refused(server, f"bq://{table}", f"bq://{table}_out")["message"]


def test_a_source_that_is_not_there_is_named(server, name):
    error = refused(server, f"bq://{name}.none", f"bq://{name}.out")
    assert error["code"] == 5 and "Not found: " in error["message"]


def test_rows_that_are_no_requests_become_error_rows(server, name):
    text = {"contents": [{"role": "user", "parts": "plain text"}]}
    schema = {"contents": [{"parts": [{"text": "x"}]}], "generation_config": {
        "response_mime_type": "application/json",
        "response_schema": {"type_": "OBJECT", "properties": {}}}}
    role = {"contents": [{"role": "tester", "parts": [{"text": "x"}]}]}
    one = {"contents": {"role": "user", "parts": {"text": "one part"}}}
    bq.table(server, f"{name}.in", {"id": "INTEGER", "request": "STRING"}, [
        {"id": 0}, {"id": 1, "request": "no JSON"}, {"id": 2, "request": json.dumps(text)},
        {"id": 3, "request": json.dumps(schema)}, {"id": 4, "request": json.dumps(role)},
        {"id": 5, "request": json.dumps(one)}, {"id": 6, "request": ""}])
    job = run(server, f"bq://{name}.in", f"bq://{name}.out")
    assert job["completionStats"] == {"successfulCount": "1", "failedCount": "6"}
    rows = {row["id"]: row for row in bq.rows(server, f"{name}.out")}
    for number in "012346":
        assert rows[number]["status"].startswith("Bad Request: "), rows[number]
        assert rows[number]["response"] is None
    assert "parts" in rows["2"]["status"] and "type_" in rows["3"]["status"]
    assert "Please use a valid role: user, model." in rows["4"]["status"]
    assert bq.answer(rows["5"]) == "echo: one part" and rows["5"]["status"] == ""
    assert rows["0"]["request"] is None and rows["1"]["request"] == "no JSON"


def test_a_table_of_another_project_is_out_of_reach(server, name):
    """Without keys all projects are one user's; with keys they are not."""
    bq.table(server, f"{name}.in", PLAIN, simple())
    assert end(server, create(server, f"bq://{name}.in", "bq://p2.other.out", project="p2")
               )["state"] == "JOB_STATE_SUCCEEDED"


# ---- Stops ----

def test_a_service_that_was_killed_goes_on_with_its_table_job(tmp_path):
    server = Server(tmp_path, "--test-clock", config=CONFIG + "fake: { delay_ms: 2 }\n")
    try:
        bq.table(server, "p1.d.in", PLAIN, simple(2000))
        job = create(server, "bq://p1.d.in", "bq://p1.d.out")
        wait_until(lambda: server.call("GET", "/v1/" + job["name"])[1].get("completionStats"))
        server.kill()
        server.start()
        assert end(server, job)["state"] == "JOB_STATE_SUCCEEDED"
        assert [row["id"] for row in bq.rows(server, "bq://p1.d.out")] == [str(i) for i in range(2000)]
        assert bq.tables(server, "p1", "d") == ["in", "out"]
    finally:
        assert server.stop() == 0


# ---- The command line ----

def test_the_command_line_submits_a_table(server, name):
    bq.table(server, f"{name}.in", PLAIN, simple())

    def submit(*words):
        return subprocess.run([PROGRAM, "submit", *words, "-m", "gemini-2.5-flash", "--server", server.url,
                               "--project", PROJECT], capture_output=True, text=True, timeout=60, check=False)
    done = submit(f"bq://{name}.in", "-o", f"bq://{name}.out", "--watch")
    assert done.returncode == 0 and f"bq://{name}.out" in done.stderr, done.stderr
    assert len(bq.rows(server, f"{name}.out")) == 3
    done = submit(f"bq://{name}.in", "--watch")  # beside it
    assert done.returncode == 0 and f"bq://{name}.in_dest_" in done.stderr, done.stderr
    for words, said in ((["bq://only.two"], "bq://PROJECT.DATASET.TABLE"),
                        ([f"bq://{name}.in", f"bq://{name}.in"], "the only input"),
                        ([f"bq://{name}.in", "-o", "here.jsonl", "--watch"], "go to a table or to objects")):
        done = submit(*words)
        assert done.returncode == 2 and said in done.stderr, done.stderr
