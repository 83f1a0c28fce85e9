"""Test mode: scripts of creates, jobs, files and objects, by header and by the configuration; the guide's own page
(docs/guides/ci.md) has the rest. By plain HTTP."""
import json
import subprocess
import urllib.error
import urllib.request

import pytest

from server import CONFIG, PROGRAM, Server, lines, wait_until
from test_extensions import FINAL, create, get, until

RULES = """test:
  - { job: nightly, script: create_resource_exhausted-2 }
  - { job: never, script: create_unavailable }
  - { job: broken, script: job_failed }
  - { file: scan, script: file_failed }
  - { object: flaky, script: create_unavailable-1 }
  - { table: orders, script: create_resource_exhausted-1 }
"""


@pytest.fixture(scope="module")
def ruled(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("ruled"), "--test-clock", more=RULES)
    yield running
    assert running.stop() == 0


def script(text):
    return {"x-tranche-test": text}


def batch(server, name, headers=None):
    request = {"request": {"contents": [{"parts": [{"text": "a"}]}]}}
    body = {"batch": {"displayName": name, "inputConfig": {"requests": {"requests": [request]}}}}
    return server.call("POST", "/v1beta/models/gemini-2.5-flash:batchGenerateContent", body, headers)


def upload(server, name, headers=None):
    """A file of the Files API, whole: (status, answer)."""
    body = (b"--b\r\nContent-Type: application/json\r\n\r\n" + json.dumps({"file": {"displayName": name}}).encode() +
            b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n")
    request = urllib.request.Request(
        server.url + "/upload/v1beta/files", data=body, method="POST",
        headers={"X-Goog-Upload-Protocol": "multipart", "Content-Type": "multipart/related; boundary=b", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("step, code, status", [
    ("create_resource_exhausted", 429, "RESOURCE_EXHAUSTED"), ("create_invalid_argument", 400, "INVALID_ARGUMENT"),
    ("create_unavailable", 503, "UNAVAILABLE"), ("create_permission_denied", 403, "PERMISSION_DENIED")])
def test_a_create_fails_in_both_dialects_and_makes_nothing(server, step, code, status):
    for got, answer in (create(server, lines(1), headers=script(step)), batch(server, step, script(step))):
        assert got == code and answer["error"]["status"] == status and "scripted" in answer["error"]["message"]
    assert step not in json.dumps(server.call("GET", "/v1beta/batches?pageSize=100")[1])


def test_the_first_attempts_at_a_create_fail_and_the_next_one_works(server):
    for _ in range(2):  # after it has worked the count begins anew
        codes = [create(server, lines(1), headers=script("create_unavailable-2"))[0] for _ in range(3)]
        assert codes == [503, 503, 200]
    assert batch(server, "one", script("create_unavailable-1"))[0] == 503
    assert batch(server, "two", script("create_unavailable-1"))[0] == 503  # another job
    assert batch(server, "one", script("create_unavailable-1"))[0] == 200


def test_a_job_fails_or_stays_and_can_be_cancelled(server):
    job = until(server, create(server, lines(2), headers=script("job_failed"))[1], *FINAL)
    assert job["state"] == "JOB_STATE_FAILED" and "scripted" in job["error"]["message"]
    pending = create(server, lines(2), headers=script("job_pending"))[1]
    queued = until(server, create(server, lines(2), headers=script("job_queued"))[1], "JOB_STATE_QUEUED")
    done = create(server, lines(2))[1]
    until(server, done, "JOB_STATE_SUCCEEDED")
    assert get(server, pending)["state"] == "JOB_STATE_PENDING"
    assert get(server, queued)["state"] == "JOB_STATE_QUEUED"
    for stays in (pending, queued):
        assert server.call("POST", "/v1/" + stays["name"] + ":cancel")[0] == 200
        assert until(server, stays, *FINAL)["state"] == "JOB_STATE_CANCELLED"


def test_rules_count_by_name_and_a_header_goes_before_them(ruled):
    assert [batch(ruled, "the nightly one")[0] for _ in range(3)] == [429, 429, 200]
    assert batch(ruled, "never mind")[0] == 503
    assert batch(ruled, "never mind", script("ok"))[0] == 200
    name = batch(ruled, "a broken one")[1]["name"]
    found = wait_until(lambda: (lambda b: b if b.get("done") else None)(ruled.call("GET", "/v1beta/" + name)[1]))
    assert found["error"]["message"] == "This failure is scripted."
    assert batch(ruled, "else")[0] == 200


def test_files_fail_or_are_processed_for_ever(ruled):
    assert upload(ruled, "my scan")[1]["file"]["state"] == "FAILED"
    code, made = upload(ruled, "x", script("file_processing"))
    assert code == 200 and made["file"]["state"] == "PROCESSING"
    assert ruled.call("GET", "/v1beta/" + made["file"]["name"])[1]["state"] == "PROCESSING"
    assert upload(ruled, "x")[1]["file"]["state"] == "ACTIVE"
    assert [upload(ruled, "x", script("create_unavailable-1"))[0] for _ in range(2)] == [503, 200]
    listed = ruled.call("GET", "/v1beta/files?pageSize=100")[1]["files"]
    failed = [f for f in listed if f["state"] == "FAILED"]
    assert len(failed) == 1 and failed[0]["error"]["message"]


def test_an_object_fails_once(ruled):
    ruled.upload("rules", "good", "x")
    with pytest.raises(urllib.error.HTTPError) as failure:
        ruled.upload("rules", "flaky.jsonl", "x")
    assert failure.value.code == 503
    ruled.upload("rules", "flaky.jsonl", "x")
    assert ruled.download("rules", "flaky.jsonl") == "x"


def test_an_online_call_says_what_it_is_told(server):
    body = {"contents": [{"parts": [{"text": "a"}]}]}
    path = "/v1beta/models/gemini-2.5-flash:generateContent"
    words = '{"a": "b_and_c"}'
    answer = server.call("POST", path, body, script("unavailable-1_and_text-" + words))
    assert answer[0] == 503
    status, answer = server.call("POST", path, body, script("unavailable-1_and_text-" + words))
    assert status == 200 and answer["candidates"][0]["content"]["parts"][0]["text"] == words
    labelled = {**body, "labels": {"tranche-test": "text-positive"}}
    status, answer = server.call("POST", path, labelled)
    assert answer["candidates"][0]["content"]["parts"][0]["text"] == "positive"


def table_job(server, sql, headers=None):
    """A query job by jobs.insert, at its end: its errorResult, or None."""
    made = server.call("POST", "/bigquery/v2/projects/p1/jobs", {"configuration": {
        "query": {"query": sql, "useLegacySql": False}}}, headers)[1]
    name = made["jobReference"]["jobId"]
    server.call("GET", f"/bigquery/v2/projects/p1/queries/{name}?timeoutMs=10000&maxResults=0")
    job = server.call("GET", f"/bigquery/v2/projects/p1/jobs/{name}")[1]
    assert job["status"]["state"] == "DONE"
    return job["status"].get("errorResult")


def test_a_job_of_tables_ends_with_the_reason_that_is_asked(server):
    twice = script("job_backenderror-2")
    ends = [table_job(server, "SELECT 1", twice) for _ in range(3)]
    assert [end and end["reason"] for end in ends] == ["backendError", "backendError", None]
    always = script("job_quotaExceeded")
    assert [table_job(server, "SELECT 2", always)["reason"] for _ in range(2)] == ["quotaExceeded"] * 2
    both = script("create_unavailable-1_and_job_accessDenied-1")
    body = {"query": "SELECT 3", "useLegacySql": False}
    ends = [server.call("POST", "/bigquery/v2/projects/p1/queries", body, both) for _ in range(4)]
    assert [status for status, _ in ends] == [503, 403, 503, 200]
    assert ends[1][1]["error"]["errors"][0]["reason"] == "accessDenied"


@pytest.mark.parametrize("text", ["create_", "create_nothing", "job_", "job_done", "job_invalid-0", "file_active", "create_unavailable-0"])
def test_steps_that_do_not_exist_are_named(server, text):
    status, answer = batch(server, "x", script(text))
    assert status == 400 and "is not a step" in answer["error"]["message"]


def test_without_the_test_clock_all_of_it_is_refused(tmp_path):
    plain = Server(tmp_path)
    for call in (lambda: batch(plain, "x", script("job_failed")), lambda: upload(plain, "x", script("file_failed"))):
        status, answer = call()
        assert status == 400 and "--test-clock" in answer["error"]["message"]
    assert plain.stop() == 0
    (tmp_path / "ruled.yaml").write_text(CONFIG + RULES)
    done = subprocess.run([PROGRAM, "serve", "--config", tmp_path / "ruled.yaml", "--state", tmp_path / "new"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "--test-clock" in done.stderr and not (tmp_path / "new").exists()
    done = subprocess.run([PROGRAM, "config", "check", tmp_path / "ruled.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "only a start with --test-clock takes it" in done.stdout


@pytest.mark.parametrize("rule, says", [
    ("{ job: a }", "script is needed"), ("{ script: ok }", "one of job, file, object and table"),
    ("{ job: a, file: b, script: ok }", "one of job, file, object and table"), ("{ job: a, script: nonsense }", "is not a step")])
def test_rules_that_cannot_work_are_findings(tmp_path, rule, says):
    (tmp_path / "c.yaml").write_text(f"test:\n  - {rule}\n")
    done = subprocess.run([PROGRAM, "config", "check", tmp_path / "c.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and says in done.stdout and "test[0]" in done.stdout


# ---- Kept answers of requests that name files ----

def picture(name, text="what is this?"):
    parts = [{"text": text}, {"fileData": {"mimeType": "image/png", "fileUri": name}}]
    return json.dumps({"request": {"contents": [{"role": "user", "parts": parts}]}}) + "\n"


def reused(server, text):
    job = until(server, create(server, text, {"reuse": True}, bucket="media")[1], *FINAL)
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    return job["tranche"]["saved"]["reusedLines"]


def test_an_answer_about_an_object_is_found_by_the_objects_content(server):
    server.upload("media", "a.png", b"first picture")
    server.upload("media", "same.png", b"first picture")
    server.upload("media", "other.png", b"another one")
    assert reused(server, picture("gs://media/a.png")) == 0
    assert reused(server, picture("gs://media/a.png")) == 1
    assert reused(server, picture("gs://media/same.png")) == 1
    assert reused(server, picture("gs://media/other.png")) == 0
    server.upload("media", "a.png", b"third picture")
    assert reused(server, picture("gs://media/a.png")) == 0
    assert reused(server, picture("gs://media/a.png") + picture("gs://media/nothing.png")) == 1


def test_an_object_that_changes_under_a_job_leaves_no_answer(tmp_path):
    """The object is overwritten after the job was created, so nobody can say which content was answered."""
    one = Server(tmp_path, "--test-clock", more="service: { running_jobs_max: 1 }\n")
    one.upload("media", "moving.png", b"before")
    hangs = until(one, create(one, lines(1), headers=script("hang"))[1], "JOB_STATE_RUNNING")
    job = create(one, picture("gs://media/moving.png"), {"reuse": True}, bucket="media")[1]
    job = until(one, job, "JOB_STATE_QUEUED")
    one.upload("media", "moving.png", b"after")
    one.call("POST", "/v1/" + hangs["name"] + ":cancel")
    assert until(one, job, *FINAL)["state"] == "JOB_STATE_SUCCEEDED"
    assert reused(one, picture("gs://media/moving.png")) == 0
    assert reused(one, picture("gs://media/moving.png")) == 1
    assert one.stop() == 0


def bigquery(server, path, body, headers=None):
    """HTTP status, and the error's reason."""
    got, answer = server.call("POST", f"/bigquery/v2/projects/scripted/{path}", body, headers)
    return got, answer["error"]["errors"][0]["reason"] if got != 200 else None


def table(name):
    return {"tableReference": {"projectId": "scripted", "datasetId": "d", "tableId": name},
            "schema": {"fields": [{"name": "a", "type": "INTEGER"}]}}


def test_calls_that_make_tables_rows_and_queries_fail_as_the_script_says(ruled):
    assert bigquery(ruled, "datasets", {"datasetReference": {"datasetId": "d"}})[0] == 200
    busy = (429, "rateLimitExceeded")
    assert [bigquery(ruled, "datasets/d/tables", table("orders")) for _ in range(2)] == [busy, (200, None)]
    assert bigquery(ruled, "datasets/d/tables", table("other")) == (200, None)
    rows = {"rows": [{"json": {"a": 1}}]}
    assert bigquery(ruled, "datasets/d/tables/other/insertAll", rows, script("create_unavailable"))[0] == 503
    assert [bigquery(ruled, "datasets/d/tables/orders/insertAll", rows) for _ in range(2)] == [busy, (200, None)]
    query = {"query": "SELECT COUNT(*) AS n FROM d.orders", "useLegacySql": False}
    assert [bigquery(ruled, "queries", query) for _ in range(2)] == [busy, (200, None)]
    assert bigquery(ruled, "queries", query, script("create_invalid_argument"))[0] == 400
    job = {"configuration": {"query": query}}
    assert bigquery(ruled, "jobs", job, script("create_unavailable"))[0] == 503
    data = ruled.call("GET", "/bigquery/v2/projects/scripted/datasets/d/tables/orders/data")[1]
    assert data["rows"] == [{"f": [{"v": "1"}]}]  # once, for only one insert worked
