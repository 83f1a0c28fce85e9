"""Rows of a job by their number and by what they say, while it runs and after, and files of some of them."""
import csv
import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from server import CONFIG, Server

JOBS = "/v1/projects/local/locations/us-central1/batchPredictionJobs"
ANSWERS = """    fake:
      answers:
        - { match: "spam", text: "spam" }
        - { match: "fine", text: "fine" }
        - { match: "long", text: "a longer text that is no label\\nof two lines" }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("rows"), "--test-clock", config=CONFIG + ANSWERS)
    yield running
    assert running.stop() == 0


def line(text):
    return {"request": {"contents": [{"role": "user", "parts": [{"text": text}]}]}}


def create(server, name, lines):
    server.upload("rows-bucket", f"{name}.jsonl", "".join(json.dumps(one) + "\n" for one in lines))
    status, job = server.call("POST", JOBS, {
        "displayName": name, "model": "publishers/google/models/gemini-2.5-flash",
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [f"gs://rows-bucket/{name}.jsonl"]}},
        "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://rows-bucket/out"}}})
    assert status == 200, job
    return job["name"]


def wait(server, name, states=("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED")):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        _, job = server.call("GET", f"/v1/{name}")
        if job["state"].removeprefix("JOB_STATE_") in states:
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def rows(server, name, **query):
    status, answer = server.call("GET", f"/v1/{name}:rows?{urllib.parse.urlencode(query)}")
    assert status == 200, answer
    return answer


def fetch(server, name, **query):
    with urllib.request.urlopen(f"{server.url}/v1/{name}:results?{urllib.parse.urlencode(query)}", timeout=60) as answer:
        return answer.read(), answer.headers


def numbers(answer):
    return [int(row["index"]) for row in answer["rows"]]


@pytest.fixture(scope="module")
def mixed(server):
    lines = [line(f"{'spam' if i % 3 == 0 else 'fine'} {i}") for i in range(300)]
    for i in (10, 11, 200):
        lines[i] = {"request": {"contents": "x"}}
    name = create(server, "mixed", lines)
    wait(server, name)
    return name


def test_rows_are_found_by_number_status_label_and_cause(server, mixed):
    page = rows(server, mixed, first=100, count=5, facets="true")
    assert numbers(page) == [100, 101, 102, 103, 104]
    assert (page["total"], page["matched"], page["whole"], page["complete"]) == ("300", "300", True, True)
    assert page["rows"][2] == {"index": "102", "status": "answered", "request": "spam 102", "answer": "spam",
                               "promptTokens": page["rows"][2]["promptTokens"], "outputTokens": 1}
    facets = page["facets"]
    assert (facets["answered"], facets["failed"], facets["notRun"]) == ("297", "3", "0")
    assert [(x["label"], x["count"]) for x in facets["labels"]] == [("fine", "197"), ("spam", "100")]
    cause = facets["causes"][0]
    assert len(facets["causes"]) == 1 and cause["count"] == "3" and cause["rows"] == ["10", "11", "200"]
    assert cause["message"].startswith("INVALID_ARGUMENT: request.contents")
    assert numbers(rows(server, mixed, status="failed")) == [10, 11, 200]
    assert numbers(rows(server, mixed, cause=cause["cause"], first=1)) == [11, 200]
    spam = rows(server, mixed, label="spam", first=98)
    assert numbers(spam) == [294, 297] and spam["matched"] == "100"
    assert rows(server, mixed, first=300)["rows"] == []


def test_the_course_of_a_job_is_counted_by_time(server, mixed):
    line = rows(server, mixed, count=1, timeline="true")["timeline"]
    assert line["seconds"] == 1 and sum(line["answered"]) == 297 == sum(line["tokens"]) and sum(line["failed"]) == 3
    assert len(line["answered"]) == len(line["notRun"]) == len(line["tokens"]) and line["start"].startswith("20")


def test_a_text_is_searched_by_a_cursor(server, mixed):
    found = rows(server, mixed, text="SPAM 29")
    assert numbers(found) == [291, 294, 297] and "next" not in found and "matched" not in found
    part = rows(server, mixed, text="spam 29", count=2)
    assert numbers(part) == [291, 294] and part["next"] == "295"
    assert numbers(rows(server, mixed, text="spam 29", count=2, **{"from": part["next"]})) == [297]
    assert numbers(rows(server, mixed, text="spam", status="failed")) == []


def test_whole_rows_show_their_request(server, mixed):
    row = rows(server, mixed, first=3, count=1, view="full")["rows"][0]
    assert row["row"]["request"] == line("spam 3")["request"]
    assert row["row"]["response"]["candidates"][0]["content"]["parts"][0]["text"] == "spam"
    assert "input" not in row


def test_jobs_are_compared_row_by_row(server, mixed):
    lines = [line(f"{'spam' if i % 3 == 0 or i == 7 else 'fine'} {i}") for i in range(299)]
    other = create(server, "other", lines)
    number = wait(server, other)["tranche"]["id"]
    assert numbers(rows(server, mixed, differsFrom=number)) == [7, 10, 11, 200, 299]
    assert numbers(rows(server, mixed, differsFrom=number, status="answered")) == [7, 299]
    status, answer = server.call("GET", f"/v1/{mixed}:rows?differsFrom=12")
    assert status == 404 and "12" in answer["error"]["message"]


def test_files_have_the_rows_that_match(server, mixed):
    body, headers = fetch(server, mixed, status="failed")
    assert headers["Content-Type"] == "application/jsonl" and headers["X-Tranche-Complete"] == "true"
    assert [json.loads(one)["request"] for one in body.splitlines()] == [{"contents": "x"}] * 3
    whole, _ = fetch(server, mixed)
    assert fetch(server, mixed, format="jsonl")[0] == whole
    body, headers = fetch(server, mixed, format="csv", text="spam 29")
    assert "attachment" in headers["Content-Disposition"] and headers["Content-Disposition"].endswith('.csv"')
    table = list(csv.DictReader(io.StringIO(body.decode())))
    assert [(r["index"], r["status"], r["request"], r["answer"], r["error"]) for r in table] == [
        (str(i), "answered", f"spam {i}", "spam", "") for i in (291, 294, 297)]


def test_a_parquet_file_has_the_rows(server, mixed, tmp_path):
    try:
        body, headers = fetch(server, mixed, format="parquet", label="spam")
    except urllib.error.HTTPError as error:
        assert error.code == 501 and "DuckDB" in error.read().decode()
        pytest.skip("the library of DuckDB is not there")
    assert body[:4] == b"PAR1" and body[-4:] == b"PAR1" and headers["Content-Type"].endswith("parquet")


def test_wrong_filters_say_what_is_right(server, mixed):
    for query, words in (("status=good", "answered, failed or notRun"), ("cause=7", "16 hexadecimal"),
                         ("first=x", "first"), ("differsFrom=x", "differsFrom")):
        status, answer = server.call("GET", f"/v1/{mixed}:rows?{query}")
        assert status in (400, 404) and words in answer["error"]["message"]
    status, answer = server.call("GET", f"/v1/{mixed}:results?format=xml")
    assert status == 400 and "jsonl, csv or parquet" in answer["error"]["message"]


def test_long_answers_are_no_labels_and_rows_of_batches_show_their_line(server):
    lines = [{"key": f"k{i}", **line(f"long {i}")} for i in range(30)]
    text = "".join(json.dumps(one) + "\n" for one in lines)
    body = ('--x\r\nContent-Type: application/json\r\n\r\n{"file":{}}\r\n--x\r\n'
            f'Content-Type: application/jsonl\r\n\r\n{text}\r\n--x--\r\n')
    request = urllib.request.Request(server.url + "/upload/v1beta/files", data=body.encode(), method="POST", headers={
        "Content-Type": "multipart/related; boundary=x", "X-Goog-Upload-Protocol": "multipart"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        file = json.loads(answer.read())["file"]["name"]
    status, batch = server.call("POST", "/v1beta/models/gemini-2.5-flash:batchGenerateContent", {
        "batch": {"displayName": "keyed", "inputConfig": {"fileName": file}}})
    assert status == 200, batch
    deadline = time.monotonic() + 60
    while not server.call("GET", f"/v1beta/{batch['name']}")[1].get("done") and time.monotonic() < deadline:
        time.sleep(0.05)
    page = rows(server, batch["name"], facets="true", view="full", first=12, count=1)
    assert page["facets"]["labels"] == [] and page["rows"][0]["key"] == "k12"
    assert page["rows"][0]["input"] == lines[12]
    assert page["rows"][0]["answer"] == "a longer text that is no label\nof two lines"


def test_a_job_without_an_output_has_no_rows_yet(server):
    name = create(server, "empty", [line("spam")])
    wait(server, name)
    server.call("DELETE", f"/v1/{name}")
    assert server.call("GET", f"/v1/{name}:rows")[0] == 404


def test_rows_are_there_while_the_job_runs(tmp_path):
    server = Server(tmp_path, "--test-clock", config=CONFIG + "    fake: { delay_ms: 40, window: 4 }\n")
    name = create(server, "slow", [line(f"spam {i:04}") for i in range(2000)])
    deadline = time.monotonic() + 60
    seen = rows(server, name, facets="true")
    while not seen["rows"] and time.monotonic() < deadline:
        seen = rows(server, name, facets="true")
    assert seen["rows"] and not seen["complete"] and seen["rows"][0]["answer"] == "echo: spam 0000"
    more = rows(server, name)
    while int(more["total"]) <= int(seen["total"]) and time.monotonic() < deadline:
        more = rows(server, name)
    assert int(more["total"]) > int(seen["total"]) and more["rows"][0] == seen["rows"][0]
    server.kill()
    server.start()
    wait(server, name, ("RUNNING",))
    again = rows(server, name, count=1)
    while int(again["total"]) <= int(more["total"]) and time.monotonic() < deadline:
        again = rows(server, name, count=1)
    assert again["rows"] == seen["rows"][:1]
    server.call("POST", f"/v1/{name}:cancel")
    wait(server, name)
    after = rows(server, name, facets="true", status="notRun", count=1)
    assert after["total"] == "2000" and after["complete"] and int(after["matched"]) > 0
    assert after["rows"][0]["error"].endswith("before this line was run.")
    server.stop()


def test_one_stream_has_the_progress_of_all_jobs_that_run(tmp_path):
    server = Server(tmp_path, config=CONFIG + "    fake: { delay_ms: 40, window: 2 }\n")
    names = [create(server, f"run{i}", [line(f"spam {k:04}") for k in range(1000)]) for i in (1, 2)]
    seen = {}
    with urllib.request.urlopen(f"{server.url}/tranche/v1/events?progress=true", timeout=60) as stream:
        kind = ""
        while set(seen) != set(names):
            text = stream.readline().decode()
            kind = text.removeprefix("event: ").strip() if text.startswith("event: ") else kind
            if text.startswith("data: ") and kind == "progress":
                event = json.loads(text.removeprefix("data: "))
                seen[event["job"]] = event
    assert all(e["state"] == "JOB_STATE_RUNNING" and e["tranche"]["progress"]["total"] == 1000 for e in seen.values())
    for name in names:
        server.call("POST", f"/v1/{name}:cancel")
    server.stop()
