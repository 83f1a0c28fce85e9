"""What Google's resources lack: the key `tranche`, and the calls beside it. By plain HTTP."""
import json
import threading
import urllib.request

import pytest

from server import line, lines, wait_until

JOBS = "/v1/projects/p1/locations/us-central1/batchPredictionJobs"
FINAL = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED")


def create(server, text, tranche=None, headers=None, bucket="ext", model="tranche-fake"):
    server.upload(bucket, "in.jsonl", text)
    body = {"model": f"publishers/google/models/{model}", "displayName": "x",
            "inputConfig": {"instancesFormat": "jsonl",
                            "gcsSource": {"uris": [f"gs://{bucket}/in.jsonl"]}},
            "outputConfig": {"predictionsFormat": "jsonl",
                             "gcsDestination": {"outputUriPrefix": f"gs://{bucket}/out"}}}
    if tranche is not None:
        body["tranche"] = tranche
    return server.call("POST", JOBS, body, headers)


def get(server, job):
    return server.call("GET", "/v1/" + job["name"])[1]


def until(server, job, *states):
    def there():
        now = get(server, job)
        return now if now["state"] in states else None
    return wait_until(there)


def rows(server, job):
    bucket, _, path = job["outputInfo"]["gcsOutputDirectory"].removeprefix("gs://").partition("/")
    text = server.download(bucket, path + "/predictions.jsonl")
    return [json.loads(row) for row in text.splitlines()]


def scripted(key, script):
    return json.dumps({"key": key, "request": {"contents": [{"parts": [{"text": key}]}],
                                               "labels": {"tranche-test": script}}}) + "\n"


def test_validate_only_reports_every_bad_line_and_runs_nothing(server):
    bad = lines(3) + "no json\n" + '{"request":{"contents":[]}}\n'
    job = until(server, create(server, bad, {"validateOnly": True})[1], *FINAL)
    assert job["state"] == "JOB_STATE_FAILED"
    assert job["tranche"]["validation"] == {"valid": 3, "badLines": 2}
    faults = server.call("GET", "/v1/" + job["name"] + ":faults")[1]
    faults = [json.loads(f) for f in faults.splitlines()]
    assert [f["line"] for f in faults] == [4, 5] and all(f["message"] for f in faults)
    good = until(server, create(server, lines(3), {"validateOnly": True})[1], *FINAL)
    assert good["state"] == "JOB_STATE_SUCCEEDED" and good["tranche"]["validation"]["valid"] == 3
    assert good["tranche"]["progress"]["succeeded"] == 0


def test_strict_fails_a_job_with_a_bad_line_before_any_work(server):
    job = until(server, create(server, lines(3) + "no json\n", {"strict": True})[1], *FINAL)
    assert job["state"] == "JOB_STATE_FAILED" and "line 4" in job["error"]["message"]


def test_a_token_budget_pauses_the_job_and_a_larger_one_goes_on(server):
    job = create(server, lines(2000), {"budget": {"tokens": 500}})[1]
    job = until(server, job, "JOB_STATE_PAUSED")
    assert job["tranche"]["pauseReason"] == "budget"
    done = job["tranche"]["progress"]["succeeded"]
    assert 0 < done < 2000
    status, _ = server.call("POST", "/v1/" + job["name"] + ":resume", {})
    assert status == 200
    assert until(server, job, "JOB_STATE_PAUSED")["tranche"]["progress"]["succeeded"] >= done
    server.call("POST", "/v1/" + job["name"] + ":resume", {"budget": {"tokens": 10**9}})
    job = until(server, job, *FINAL)
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert job["completionStats"]["successfulCount"] == "2000" and len(rows(server, job)) == 2000


def test_too_many_errors_pause_the_job(server):
    text = "".join(scripted(f"k{i}", "invalid_argument") for i in range(300)) + lines(5000)
    job = create(server, text, {"maxErrorRate": 0.5, "maxErrorRateMinLines": 50})[1]
    job = until(server, job, "JOB_STATE_PAUSED", *FINAL)
    assert job["state"] == "JOB_STATE_PAUSED" and job["tranche"]["pauseReason"] == "errors"
    server.call("POST", "/v1/" + job["name"] + ":cancel", {})
    job = until(server, job, *FINAL)
    assert job["state"] == "JOB_STATE_CANCELLED" and len(rows(server, job)) == 5300


def test_a_job_is_paused_and_goes_on_where_it_was(server):
    job = create(server, lines(20) + scripted("slow", "hang"))[1]
    wait_until(lambda: get(server, job)["tranche"]["progress"]["succeeded"] == 20)
    assert server.call("POST", "/v1/" + job["name"] + ":pause", {})[0] == 200
    paused = until(server, job, "JOB_STATE_PAUSED")
    assert paused["tranche"]["pauseReason"] == "asked"
    assert paused["tranche"]["progress"]["succeeded"] == 20
    server.call("POST", "/v1/" + job["name"] + ":resume", {})
    until(server, job, "JOB_STATE_RUNNING")
    server.call("POST", "/v1/" + job["name"] + ":cancel", {})
    done = until(server, job, *FINAL)
    assert [r["status"] == "" for r in rows(server, done)] == [True] * 20 + [False]


def test_retry_failed_answers_only_what_failed_and_merges(server):
    # The header fails what has no script of its own; a retry is not scripted.
    text = "".join(scripted(f"k{i}", "ok") for i in range(12)) + line("bad", key="bad") + "\n"
    job = create(server, text, headers={"x-tranche-test": "unavailable"})[1]

    def ended():
        server.advance(120)
        now = get(server, job)
        return now if now["state"] in FINAL else None
    first = wait_until(ended)
    assert first["completionStats"] == {"successfulCount": "12", "failedCount": "1"}
    server.upload("ext", "in.jsonl", "changed\n")  # the retry reads what the job had read
    status, again = server.call("POST", "/v1/" + first["name"] + ":retryFailed", {})
    assert status == 200 and again["tranche"]["retryOf"] == first["name"].rsplit("/", 1)[1]
    job = again
    second = wait_until(ended)
    assert second["state"] == "JOB_STATE_SUCCEEDED"
    merged = rows(server, second)
    assert len(merged) == 13 and all(row["status"] == "" for row in merged)
    kept = rows(server, first)
    assert [r["response"] for r in kept[:10]] == [r["response"] for r in merged[:10]]
    assert server.call("POST", "/v1/" + second["name"] + ":retryFailed", {})[0] == 400


def test_the_same_request_id_makes_one_job(server):
    one = create(server, lines(1), {"requestId": "r-1"})[1]
    two = create(server, lines(1), {"requestId": "r-1"})[1]
    assert one["name"] == two["name"]
    assert create(server, lines(1), {"requestId": "r-1"}, model="gemini-2.5-flash")[0] == 409


def test_results_are_readable_while_the_job_runs(server):
    job = create(server, lines(30) + scripted("slow", "hang"))[1]
    wait_until(lambda: get(server, job)["tranche"]["progress"]["succeeded"] == 30)

    def read():
        text = server.call("GET", "/v1/" + job["name"] + ":results")[1]
        return text if isinstance(text, str) and text.count("\n") == 30 else None
    assert json.loads(wait_until(read).splitlines()[7])["key"] == "k7"
    server.call("POST", "/v1/" + job["name"] + ":cancel", {})
    until(server, job, *FINAL)


def test_results_by_done_have_the_rows_behind_an_open_line(server):
    job = create(server, scripted("slow", "hang") + lines(30))[1]
    wait_until(lambda: get(server, job)["tranche"]["progress"]["succeeded"] == 30)
    path = "/v1/" + job["name"] + ":results"
    status, text = server.call("GET", path + "?order=done")
    assert status == 200
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["key"] for row in rows] == [f"k{i}" for i in range(30)]
    assert rows[3]["response"]["candidates"] and rows[3]["request"]["contents"]
    assert not server.call("GET", path)[1]
    assert server.call("GET", path + "?order=done&offset=3")[0] == 400
    assert server.call("GET", path + "?order=size")[0] == 400
    server.call("POST", "/v1/" + job["name"] + ":cancel", {})
    until(server, job, *FINAL)
    assert len(server.call("GET", path + "?order=done")[1].splitlines()) == 31


def test_unknown_options_are_named(server):
    status, answer = create(server, lines(1), {"bugdet": {}})
    assert status == 400 and "budget" in answer["error"]["message"]


def test_duplicates_are_computed_once_and_counted(server):
    text = ("".join(json.dumps({"key": str(i), "request": {
        "contents": [{"parts": [{"text": "same"}]}], "generationConfig": {"temperature": 0}}}) + "\n"
        for i in range(10)))
    job = until(server, create(server, text)[1], *FINAL)
    assert job["tranche"]["saved"]["duplicateLines"] == 9


def test_a_job_with_reuse_asks_only_what_is_new_and_others_keep_nothing(server):
    def run(count, tranche):
        job = until(server, create(server, lines(count), tranche, bucket="reuse")[1], *FINAL)
        assert job["state"] == "JOB_STATE_SUCCEEDED"
        return job["tranche"]

    assert "reusedLines" not in run(7, None)["saved"]
    assert run(7, {"reuse": True})["saved"]["reusedLines"] == 0
    again = run(9, {"reuse": True})
    assert again["saved"]["reusedLines"] == 7 and again["saved"]["reusedTokens"] > 0
    assert again["options"]["reuse"] and again["progress"]["succeeded"] == 9
    plain = run(9, None)
    assert plain["tokens"]["generated"] > again["tokens"]["generated"]


def test_reused_rows_say_when_they_were_answered(server):
    first = until(server, create(server, lines(3), {"reuse": True}, bucket="reuse2")[1], *FINAL)
    job = until(server, create(server, lines(4), {"reuse": True}, bucket="reuse2")[1], *FINAL)
    assert first["state"] == job["state"] == "JOB_STATE_SUCCEEDED"
    reused = [row.get("reused_from") for row in rows(server, job)]
    assert all(reused[:3])


def test_events_tell_each_state_in_order(server):
    events = []
    job = create(server, lines(5))[1]

    def listen():
        url = server.url + "/v1/" + job["name"] + ":events"
        request = urllib.request.Request(url, headers={"Last-Event-ID": "0"})
        with urllib.request.urlopen(request, timeout=20) as stream:
            for row in stream:
                if row.startswith(b"data:"):
                    events.append(json.loads(row[5:])["state"])
                    if events[-1].endswith("SUCCEEDED"):
                        return
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join(30)
    order = [e.removeprefix("JOB_STATE_") for e in events]
    assert order[-1] == "SUCCEEDED" and order.index("RUNNING") < order.index("SUCCEEDED")


def test_metrics_and_health_are_told(server):
    assert server.call("GET", "/healthz")[0] == 200 and server.call("GET", "/readyz")[0] == 200
    text = server.call("GET", "/metrics")[1]
    for name in ("tranche_http_requests_total", "tranche_jobs", "tranche_lines_total"):
        assert name in text, name


def test_a_full_queue_and_odd_input_are_refused_clearly(server):
    cases = [
        ({}, "displayName"), ({"displayName": "x"}, "inputConfig"),
        ({"displayName": "x", "model": "publishers/google/models/tranche-fake"}, "inputConfig"),
        ({"displayName": "x", "model": "publishers/google/models/tranche-fake", "inputConfig": {
            "instancesFormat": "bigquery", "bigquerySource": {"inputUri": "bq://a.b"}}}, "bq://project.dataset.table"),
        ([1], "object"),
    ]
    for body, word in cases:
        status, answer = server.call("POST", JOBS, body)
        assert status == 400 and word in answer["error"]["message"], (body, answer)
    status, answer = server.call("GET", JOBS + "/12a")
    assert status == 404 and answer["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize("path", ["/v1/projects/p1/locations/us-central1/batchPredictionJobs/1",
                                  "/v1/batches/nobody", "/v1beta/files/nobody",
                                  "/storage/v1/b/nobody", "/nothing/here"])
def test_what_is_not_there_is_404_as_json(server, path):
    status, answer = server.call("GET", path)
    assert status == 404 and answer["error"]["code"] == 404
