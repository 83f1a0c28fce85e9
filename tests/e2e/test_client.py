"""The client commands against a service that does as the test says: what they send, what they print,
exit codes, and what they make of faults on the way."""
import json
import random
import socket
import subprocess

import pytest

from conftest import request
from stub_service import Stub

OK, SOME_FAILED, USAGE, INPUT, STOPPED, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
JOBS = "/v1/projects/default/locations/us-central1/batchPredictionJobs"


@pytest.fixture
def stub():
    server = Stub()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(tranche, stub):
    tranche.environment["TRANCHE_SERVER"] = stub.url
    return tranche


def error(code, name, message):
    return {"error": {"code": code, "message": message, "status": name}}


# ---- Where, and who ----


def test_the_default_service_that_is_not_running_is_told_with_a_remedy(tranche):
    done = tranche("jobs", "--server", "http://127.0.0.1:1")
    assert done.returncode == STOPPED
    assert done.stderr == ("error: cannot reach http://127.0.0.1:1: is `tranche serve` running there? "
                           "--server or $TRANCHE_SERVER names another\n")


def test_a_service_of_this_machine_that_starts_just_now_is_waited_for(tranche):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    asked = tranche.start("jobs", "--server", f"http://127.0.0.1:{port}")
    service = tranche.start("serve", "--listen", f"127.0.0.1:{port}", "--state", "state")
    try:
        assert asked.wait(60) == 0, asked.communicate()
    finally:
        service.terminate()
        service.communicate()


@pytest.mark.parametrize("variables, header, value", [
    ({"TRANCHE_API_KEY": "k1"}, "x-goog-api-key", "k1"),
    ({"TRANCHE_TOKEN": "t1"}, "Authorization", "Bearer t1"),
    ({"TRANCHE_TOKEN": "t1", "TRANCHE_API_KEY": "k1"}, "Authorization", "Bearer t1"),
])
def test_credentials_come_from_the_environment(client, stub, variables, header, value):
    assert client("jobs", **variables).returncode == OK
    assert stub.seen[0].headers[header] == value
    assert len([h for h in ("x-goog-api-key", "Authorization") if h in stub.seen[0].headers]) == 1


def test_a_key_with_a_line_break_is_refused_and_not_shown(client, stub):
    done = client("jobs", TRANCHE_API_KEY="secret\r\nX-Evil: 1")
    assert done.returncode == USAGE and not stub.seen
    assert "secret" not in done.stderr


def test_an_upload_url_elsewhere_gets_no_key(client, stub, tranche):
    other = Stub()
    stub.buckets["b"] = {}
    stub.answer_next("POST", "/upload/", 200, "", {"Location": f"{other.url}/upload/b/b/o?upload_id=0"})
    other.uploads["0"] = ["b", "x", b""]
    tranche.write("f", "text")
    assert client("cp", "f", "gs://b/x", TRANCHE_API_KEY="k1").returncode == OK
    assert stub.seen[0].headers["x-goog-api-key"] == "k1"
    assert other.seen and "x-goog-api-key" not in other.seen[0].headers
    other.server_close()


def test_project_and_location_are_in_the_path(client, stub):
    client("jobs", "--project", "p/1", "--location", "europe-west1")
    assert stub.seen[0].path == "/v1/projects/p%2F1/locations/europe-west1/batchPredictionJobs"
    client("jobs", TRANCHE_PROJECT="p2", TRANCHE_LOCATION="l2")
    assert stub.seen[1].path == "/v1/projects/p2/locations/l2/batchPredictionJobs"


def test_extensions_are_refused_for_googles_service_before_anything_is_sent(tranche):
    google = ("--server", "https://us-central1-aiplatform.googleapis.com")
    for arguments in (("pause", "1"), ("retry", "1"),
                      ("submit", "gs://b/i.jsonl", "-m", "m", "--budget-usd", "1")):
        done = tranche(*arguments, *google)
        assert done.returncode == USAGE and "extension of tranche" in done.stderr


# ---- What goes wrong ----


def test_an_unknown_key_is_told_with_a_remedy(client, stub):
    stub.answer_next("GET", JOBS, 401, error(401, "UNAUTHENTICATED", "Request had no key."))
    done = client("jobs")
    assert done.returncode == USAGE
    assert "Request had no key; set TRANCHE_API_KEY" in done.stderr


def test_a_job_that_does_not_exist(client):
    done = client("get", "77")
    assert done.returncode == INPUT
    assert done.stderr == "error: The BatchPredictionJob 77 does not exist.\n"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(client, stub, status):
    stub.add_job(1, "RUNNING")
    stub.answer_next("GET", JOBS, status, error(status, "UNKNOWN", "not now"), {"Retry-After": "1"})
    done = client("get", "1")
    assert done.returncode == OK, done.stderr
    assert len(stub.seen) == 2


def test_a_lost_answer_is_asked_for_again_once_the_service_is_known(client, stub):
    stub.put("b", "x", b"1")
    stub.put("b", "y", b"2")
    stub.answer_next("DELETE", "/o/y", None)
    assert client("rm", "gs://b/x", "gs://b/y").returncode == OK
    assert not stub.objects


def test_a_refusal_is_not_tried_again(client, stub):
    stub.answer_next("POST", ":cancel", 400, error(400, "FAILED_PRECONDITION", "It has ended."))
    stub.add_job(1, "SUCCEEDED")
    done = client("cancel", "1")
    assert done.returncode == INPUT and "job 1: It has ended." in done.stderr
    assert len(stub.seen) == 1


@pytest.mark.parametrize("body, part", [
    ("<html><title>nginx</title>\x1b[2J</html>", "is that a Gemini batch service?"),
    ('{"batchPredictionJobs": [{"name": "x"', "is that a Gemini batch service?"),
    ("[]", "is that a Gemini batch service?"),
    ("", "is that a Gemini batch service?"),
])
def test_an_answer_that_is_no_json_object_is_told(client, stub, body, part):
    stub.answer_next("GET", JOBS, 200, body)
    done = client("jobs")
    assert done.returncode == INTERNAL
    assert part in done.stderr and "\x1b" not in done.stderr


def test_a_proxys_error_page_is_shown_in_part_and_cannot_steer_the_terminal(client, stub):
    stub.answer_next("GET", JOBS, 403, "<html>\x1b]0;x\x07denied" + "x" * 5000)
    done = client("jobs")
    assert done.returncode == USAGE
    assert "HTTP 403" in done.stderr and "denied" in done.stderr
    assert len(done.stderr) < 600 and "\x1b" not in done.stderr


def test_wrong_types_in_a_resource_are_borne(client, stub):
    stub.answer_next("GET", JOBS, 200, {"batchPredictionJobs": [
        {"name": 5, "state": None, "tranche": [], "completionStats": "x", "error": 3},
        7, None, {"name": "a/b", "state": "JOB_STATE_NEW", "createTime": {}}]})
    done = client("jobs")
    assert done.returncode == OK, done.stderr
    assert "NEW" in done.stdout


@pytest.mark.parametrize("arguments", [
    ("get", "abc"), ("get", "projects/p/locations/l/batchPredictionJobs/x"), ("get", "1/../2"),
    ("ls", "/tmp"), ("ls", "gs://"), ("cp", "gs://b*/x", "-"), ("mb", "gs://b/x"), ("cp", "a", "b"),
    ("rm", "gs://b"), ("jobs", "--server", "localhost:8080"), ("submit", "gs://b/i.jsonl"),
    ("submit", "gs://b/i", "-m", "m", "--budget-usd", "1e9"),
    ("submit", "gs://b/i", "-m", "m", "--label", "novalue"),
    ("submit", "gs://b/i", "-m", "m", "--priority", "high"), ("resume", "1", "--max-error-rate", ".5"),
])
def test_usage_errors_send_nothing(client, stub, arguments):
    done = client(*arguments)
    assert done.returncode == USAGE, done.stderr
    assert done.stderr.startswith("error: ") and not stub.seen


# ---- Jobs ----

DETAILS = {
    "completionStats": {"successfulCount": "1", "failedCount": "1"},
    "outputInfo": {"gcsOutputDirectory": "gs://b/out/prediction-model-x"},
    "tranche": {
        "id": "5", "state": "RUNNING", "progress": {"total": "2000", "succeeded": "998",
                                                    "failed": "2", "notRun": "0"},
        "eta": {"seconds": 90, "low": 60, "high": 120}, "retries": 3, "inFlight": 4,
        "tokens": {"prompt": "1000", "cached": "400", "generated": "50", "estimated": "9000"},
        "cost": {"soFarUsd": 0.5, "onlineUsd": 1.0, "estimatedUsd": 2.25, "estimatedOnlineUsd": 4.5},
        "saved": {"duplicateLines": "7", "duplicateTokens": "70"}}}


def test_jobs_is_an_aligned_table_newest_first(client, stub):
    stub.add_job(4, "SUCCEEDED")
    stub.add_job(5, "RUNNING", **DETAILS)
    lines = client("jobs").stdout.splitlines()
    assert lines[0].split() == ["JOB", "STATE", "LINES", "FAILED", "COST", "CREATED", "MODEL"]
    assert lines[1].split() == ["5", "RUNNING", "1,000/2,000", "2", "$0.50", "2026-11-22T10:00", "m"]
    assert lines[2].split() == ["4", "SUCCEEDED", "-", "0", "-", "2026-11-22T10:00", "m"]
    assert len({line.index(word) for line, word in zip(lines, ("CREATED", "2026", "2026"))}) == 1


def test_jobs_pages_filters_and_limits(client, stub):
    for number in range(1, 251):
        stub.add_job(number, "SUCCEEDED")
    done = client("jobs", "--json", "--limit", "230", "--filter", 'state="X" AND labels.a:*')
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["name"].split("/")[-1] for row in rows] == [str(n) for n in range(250, 20, -1)]
    assert [s.query["pageSize"] for s in stub.seen] == ["100", "100", "30"]
    assert {s.query["filter"] for s in stub.seen} == {'state="X" AND labels.a:*'}


def test_no_jobs_is_no_error(client):
    done = client("jobs")
    assert (done.returncode, done.stdout, done.stderr) == (OK, "", "no jobs yet\n")


def test_get_shows_what_is_known_and_json_is_the_resource(client, stub):
    name = stub.add_job(5, "RUNNING", **DETAILS)
    text = client("get", name).stdout
    for part in ("RUNNING", "1,000 of 2,000 (50%), 998 succeeded, 2 failed", "1 m 30 s (1 m 00 s to",
                 "1,000 prompt (400 reused), 50 generated", "$0.50 so far, about $2.25 in all",
                 "gs://b/out/prediction-model-x"):
        assert part in text, part
    assert json.loads(client("get", "5", "--json").stdout) == stub.jobs["5"]


def test_cost(client, stub):
    stub.add_job(5, "RUNNING", **DETAILS)
    text = client("cost", "5").stdout
    for part in ("1,000 prompt, 50 generated; about 9,000 in all", "$0.50 at the batch price; online "
                 "$1.00", "$2.25 in all; online $4.50", "400 reused tokens, 70 of duplicates"):
        assert part in text, part
    assert json.loads(client("cost", "5", "--json").stdout)["estimated_usd"] == 2.25


@pytest.mark.parametrize("end, members, code", [
    ("SUCCEEDED", {}, OK),
    ("SUCCEEDED", {"completionStats": {"successfulCount": "1", "failedCount": "1"}}, SOME_FAILED),
    ("FAILED", {"error": {"code": 3, "message": "Failed to import data."}}, INPUT),
    ("FAILED", {"error": {"code": 13, "message": "System error."}}, INTERNAL),
    ("CANCELLED", {}, STOPPED),
    ("EXPIRED", {}, STOPPED),
    ("PAUSED", {"tranche": {"pauseReason": "budget"}}, STOPPED),
    ("PARTIALLY_SUCCEEDED", {}, SOME_FAILED),
])
def test_watch_ends_with_the_job(client, stub, end, members, code):
    stub.add_job(5, "QUEUED", "RUNNING", "STRANGE", end, **members)
    done = client("watch", "5")
    assert done.returncode == code, done.stderr
    lines = done.stderr.splitlines()
    assert lines[:3] == ["job 5 QUEUED", "job 5 RUNNING", "job 5 STRANGE"]
    assert lines[-1].startswith(f"job 5 {end}")
    assert done.stdout == ""


def test_watch_outlives_a_restart_of_the_service(client, stub):
    stub.add_job(5, "RUNNING", "SUCCEEDED")
    for _ in range(3):
        stub.answer_next("GET", "/5", None)
    stub.scripted.insert(0, ("GET", "/5", 200, json.dumps(stub.jobs["5"]).encode(), {}, False))
    assert client("watch", "5", timeout=60).returncode == OK


def test_verbs_call_the_service(client, stub):
    stub.add_job(5, "RUNNING")
    for verb in ("cancel", "pause", "resume"):
        assert client(verb, "5").returncode == OK
        assert stub.seen[-1].path == f"{JOBS}/5:{verb}" and stub.seen[-1].method == "POST"
    assert client("resume", "5", "--budget-usd", "2.5", "--budget-tokens", "9").returncode == OK
    assert json.loads(stub.seen[-1].body) == {"budget": {"usd": 2.5, "tokens": 9}}
    assert client("retry", "5").stdout == "6\n"
    assert client("delete", "5", "6").returncode == OK
    assert not stub.jobs


def test_a_retry_is_never_made_twice(client, stub):
    stub.add_job(5, "FAILED")
    stub.answer_next("POST", ":retryFailed", 500, error(500, "INTERNAL", "oops"))
    done = client("retry", "5")
    assert done.returncode == INTERNAL and len(stub.seen) == 1


def test_results_of_a_running_job_and_to_a_file(client, stub, tranche):
    stub.add_job(5, "RUNNING")
    stub.results["5"] = b'{"a":1}\n'
    done = client("results", "5")
    assert done.stdout == '{"a":1}\n' and "rows so far" in done.stderr
    assert client("results", "5", "-o", "out.jsonl").returncode == OK
    assert (tranche.folder / "out.jsonl").read_text() == '{"a":1}\n'
    assert sorted(p.name for p in tranche.folder.iterdir()) == ["home", "out.jsonl"]


def test_results_follow_until_the_end_and_nothing_comes_twice(client, stub):
    stub.add_job(5, "RUNNING", "SUCCEEDED")
    rows = b"".join(b'{"row":%d}\n' % i for i in range(1000))
    stub.results["5"] = rows[len(rows) // 2:]
    stub.answer_next("GET", ":results", 200, rows[:len(rows) // 2])
    stub.results["5"] = rows
    done = client("results", "5", "--follow")
    assert done.stdout.encode() == rows
    assert stub.requests("GET", ":results")[1].query["offset"] == str(len(rows) // 2)


def test_results_follow_a_job_that_shows_fewer_rows_for_a_while(client, stub):
    stub.add_job(5, "RUNNING", "RUNNING", "SUCCEEDED")
    stub.results["5"] = b'{"row":1}\n'
    stub.answer_next("GET", ":results?offset=10", 400, error(400, "OUT_OF_RANGE", "beyond the end"))
    done = client("results", "5", "--follow")
    assert (done.returncode, done.stdout) == (OK, '{"row":1}\n'), done.stderr
    assert len(stub.requests("GET", ":results")) == 3


# ---- Submit ----


def test_submit_of_objects_sends_one_job(client, stub):
    done = client("submit", "gs://b/in/*.jsonl", "gs://b/more.jsonl", "--model", "gemini-2.5-flash",
                  "--name", 'a "name"', "--label", "team=a", "--label", "run=1=2", "--strict",
                  "--budget-usd", "0.50", "--max-error-rate", "0.1", "--priority", "-3",
                  "--request-id", "r1")
    assert done.returncode == OK, done.stderr
    number = done.stdout.strip()
    assert number.isdigit() and f"tranche watch {number}" in done.stderr
    assert json.loads(stub.seen[0].body) == {
        "displayName": 'a "name"', "model": "publishers/google/models/gemini-2.5-flash",
        "inputConfig": {"instancesFormat": "jsonl",
                        "gcsSource": {"uris": ["gs://b/in/*.jsonl", "gs://b/more.jsonl"]}},
        "outputConfig": {"predictionsFormat": "jsonl",
                         "gcsDestination": {"outputUriPrefix": "gs://b/in/dest"}},
        "labels": {"team": "a", "run": "1=2"},
        "tranche": {"budget": {"usd": 0.5}, "maxErrorRate": 0.1, "priority": -3, "strict": True,
                    "requestId": "r1"}}


@pytest.mark.parametrize("uri, output", [
    ("gs://b/in.jsonl", "gs://b/in/dest"), ("gs://b/x/in", "gs://b/x/in/dest"),
    ("gs://b/a*.jsonl", "gs://b/dest"), ("gs://b/p/q/a?.jsonl", "gs://b/p/q/dest")])
def test_the_output_is_beside_the_input_by_default(client, stub, uri, output):
    assert client("submit", uri, "-m", "m").returncode == OK
    body = json.loads(stub.seen[0].body)
    assert body["outputConfig"]["gcsDestination"]["outputUriPrefix"] == output


def test_submit_uploads_local_files_and_makes_the_bucket(client, stub, tranche):
    tranche.write("a.jsonl", request("one"))
    (tranche.folder / "sub").mkdir()
    tranche.write("sub/a.jsonl", request("two"))
    done = client("submit", "a.jsonl", "sub/a.jsonl", "-m", "m", "--json")
    assert done.returncode == OK, done.stderr
    uris = json.loads(done.stdout)["inputConfig"]["gcsSource"]["uris"]
    names = [uri.removeprefix("gs://tranche-default/") for uri in uris]
    assert [n.split("/")[-1] for n in names] == ["0001-a.jsonl", "0002-a.jsonl"]
    assert [b"one" in stub.objects["tranche-default", names[0]],
            b"two" in stub.objects["tranche-default", names[1]]] == [True, True]


def test_a_missing_file_is_told_before_anything_is_sent(client, stub, tranche):
    tranche.write("a.jsonl", request("one"))
    done = client("submit", "a.jsonl", "none.jsonl", "-m", "m")
    assert done.returncode == INPUT and "none.jsonl" in done.stderr
    assert not stub.seen


def test_a_create_whose_answer_was_lost_is_sent_again_with_the_same_request_id(client, stub):
    stub.answer_next("POST", JOBS, 500, error(500, "INTERNAL", "oops"))
    assert client("submit", "gs://b/in.jsonl", "-m", "m").returncode == OK
    ids = [json.loads(s.body)["tranche"]["requestId"] for s in stub.seen]
    assert len(ids) == 2 and ids[0] == ids[1] and len(ids[0]) == 32


def test_submit_and_watch(client, stub):
    done = client("submit", "gs://b/in.jsonl", "-m", "m", "--watch")
    assert done.returncode == OK and done.stdout.strip().isdigit()
    assert "SUCCEEDED" in done.stderr.splitlines()[-1]


def test_submit_and_watch_fetches_the_rows_into_a_file(client, stub, tranche):
    stub.add_job(77001, "SUCCEEDED")
    stub.results["77001"] = b'{"key":"1","response":{}}\n'
    submit = ("submit", "gs://b/in.jsonl", "-m", "m", "-w", "-o", "rows.jsonl")
    stub.answer_next("POST", JOBS, 200, stub.jobs["77001"])
    done = client(*submit)
    assert done.returncode == OK, done.stderr
    assert tranche.rows("rows.jsonl") == [{"key": "1", "response": {}}]
    body = json.loads(next(s for s in stub.seen if s.method == "POST").body)
    assert body["outputConfig"]["gcsDestination"]["outputUriPrefix"].startswith("gs://b/")
    posts = len(stub.seen)
    again = client(*submit)
    assert again.returncode == USAGE and "--overwrite" in again.stderr and len(stub.seen) == posts
    stub.answer_next("POST", JOBS, 200, stub.jobs["77001"])
    assert client(*submit, "--overwrite").returncode == OK
    plain = client("submit", "gs://b/in.jsonl", "-m", "m", "-o", "other.jsonl")
    assert plain.returncode == USAGE and "--watch" in plain.stderr


# ---- Which job ----


@pytest.mark.parametrize("short, whole", [
    ("123", 1230000000000000077), ("077", 1230000000000000077), ("0003", 7700000000000000003)])
def test_digits_of_one_job_are_enough(client, stub, short, whole):
    listed = {"batchPredictionJobs": []}
    for n in (7700000000000000003, 1230000000000000077, 7700000000000000001):
        stub.add_job(n, "SUCCEEDED")
        listed["batchPredictionJobs"].append(stub.jobs[str(n)])
    stub.answer_next("GET", "batchPredictionJobs", 200, listed)
    done = client("get", short)
    assert done.returncode == OK, done.stderr
    assert stub.seen[-1].path.endswith(f"/{whole}")
    stub.answer_next("GET", "batchPredictionJobs", 200, listed)
    both = client("cancel", "770")
    assert both.returncode == USAGE and "more than one job" in both.stderr
    assert stub.seen[-1].method == "GET"


@pytest.mark.parametrize("command", [("get",), ("status",), ("watch",), ("results",), ("get", "--json")])
def test_without_a_job_the_newest_is_meant(client, stub, command):
    stub.add_job(7700000000000000003, "SUCCEEDED")
    stub.results["7700000000000000003"] = b"{}\n"
    stub.answer_next("GET", "batchPredictionJobs", 200,
                     {"batchPredictionJobs": [stub.jobs["7700000000000000003"]]})
    done = client(*command)
    assert done.returncode == OK, done.stderr
    assert "job 7700000000000000003, the newest" in done.stderr
    assert stub.seen[0].query["pageSize"] == "1"


def test_without_any_job_it_is_said(client, stub):
    stub.answer_next("GET", "batchPredictionJobs", 200, {})
    done = client("watch")
    assert done.returncode == INPUT and "no job yet" in done.stderr


@pytest.mark.parametrize("typed, ours", [("download", "results"), ("stop", "cancel"), ("check", "validate"),
                                         ("view", "show"), ("create", "submit")])
def test_names_of_other_programs_are_answered_with_ours(client, typed, ours):
    done = client(typed)
    assert done.returncode == USAGE and f"did you mean `tranche {ours}`?" in done.stderr


def test_list_and_ps_are_jobs(client, stub):
    for name in ("list", "ps"):
        assert client(name).returncode == OK
        assert stub.seen[-1].path == JOBS


def test_validate_only_prints_the_bad_lines_alone(client, stub):
    stub.add_job(5, "PENDING", "FAILED", error={"code": 3, "message": "1 of 2 lines are bad"})
    stub.answer_next("POST", JOBS, 200, stub.jobs["5"])
    stub.results["5"] = b'{"line":2,"message":"no"}\n'
    done = client("submit", "gs://b/in.jsonl", "-m", "m", "--validate-only")
    assert done.returncode == INPUT
    assert done.stdout == '{"line":2,"message":"no"}\n'
    assert "1 of 2 lines are bad" in done.stderr.splitlines()[-1]


# ---- Objects ----


@pytest.fixture
def objects(stub):
    for name in ("a.txt", "dir/b.txt", "dir/c d.txt", "dir/sub/e.txt", "dir2/f.txt", "ünï/g.txt"):
        stub.put("b", name, name.encode())
    return stub


@pytest.mark.parametrize("arguments, names", [
    (("gs://b",), ["a.txt", "dir/", "dir2/", "ünï/"]),
    (("gs://b/dir",), ["dir/b.txt", "dir/c d.txt", "dir/sub/"]),
    (("gs://b/dir/",), ["dir/b.txt", "dir/c d.txt", "dir/sub/"]),
    (("gs://b/a.txt",), ["a.txt"]),
    (("-r", "gs://b/dir/"), ["dir/b.txt", "dir/c d.txt", "dir/sub/e.txt"]),
    (("gs://b/*/?.txt",), ["dir/b.txt", "dir/sub/e.txt", "dir2/f.txt", "ünï/g.txt"]),
])
def test_ls(client, objects, arguments, names):
    done = client("ls", *arguments)
    assert done.returncode == OK, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(f"gs://b/{n}" for n in names)


def test_ls_in_detail_as_json_and_of_buckets(client, objects):
    assert client("ls", "-l", "gs://b/a.txt").stdout.split() == ["5", "2026-11-22T10:00:00.000Z",
                                                                 "gs://b/a.txt"]
    row = json.loads(client("ls", "--json", "gs://b/a.txt").stdout)
    assert row["uri"] == "gs://b/a.txt" and row["bytes"] == 5
    assert client("ls").stdout == "gs://b/\n"
    nothing = client("ls", "gs://b/none")
    assert nothing.returncode == INPUT and "nothing matches gs://b/none" in nothing.stderr


def test_cp_in_every_direction(client, objects, tranche):
    tranche.write("f.txt", "hello")
    assert client("mb", "gs://new").returncode == OK
    assert client("cp", "f.txt", "gs://new/").returncode == OK
    assert client("cp", "-", "gs://new/in", stdin="from stdin").returncode == OK
    assert client("cp", "gs://new/f.txt", "gs://new/in", "gs://b/copies/").returncode == OK
    assert objects.objects["b", "copies/f.txt"] == b"hello\n"
    assert client("cp", "gs://b/copies/in", "-").stdout == "from stdin"
    (tranche.folder / "got").mkdir()
    assert client("cp", "gs://b/dir/*.txt", "got").returncode == OK
    assert sorted(p.name for p in (tranche.folder / "got").iterdir()) == ["b.txt", "c d.txt", "e.txt"]
    assert client("cp", "gs://b/ünï/g.txt", "got/x").returncode == OK
    assert (tranche.folder / "got/x").read_text() == "ünï/g.txt"


def test_an_empty_file_is_copied_both_ways(client, objects, tranche):
    (tranche.folder / "empty").write_bytes(b"")
    assert client("cp", "empty", "gs://b/empty").returncode == OK
    assert objects.objects["b", "empty"] == b""
    assert client("cp", "gs://b/empty", "back").returncode == OK
    assert (tranche.folder / "back").read_bytes() == b""


PART = 8 * 1024 * 1024


def no_checksum(stub, monkeypatch):
    """The stub's own is slow: for large objects it gives none, as the service may."""
    monkeypatch.setattr("stub_service.crc32c", lambda data: "")


@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 12345])
def test_a_large_upload_is_sent_in_parts(client, objects, tranche, monkeypatch, size):
    no_checksum(objects, monkeypatch)
    data = random.Random(size).randbytes(size)
    (tranche.folder / "big").write_bytes(data)
    assert client("cp", "big", "gs://b/big").returncode == OK
    assert objects.objects["b", "big"] == data
    ranges = [s.headers["Content-Range"] for s in objects.requests("PUT", "/upload/")]
    assert len(ranges) == -(-size // PART) and ranges[-1].endswith(f"-{size - 1}/{size}")


def test_an_upload_goes_on_after_faults_with_what_is_missing(client, objects, tranche, monkeypatch):
    no_checksum(objects, monkeypatch)
    data = random.Random(1).randbytes(3 * PART)
    (tranche.folder / "big").write_bytes(data)
    objects.answer_next("PUT", "/upload/", 503, error(503, "UNAVAILABLE", "busy"))
    objects.answer_next("PUT", "/upload/", None)
    done = client("cp", "big", "gs://b/big")
    assert done.returncode == OK, done.stderr
    assert objects.objects["b", "big"] == data


def test_a_download_goes_on_where_it_broke(client, objects, tranche, monkeypatch):
    no_checksum(objects, monkeypatch)
    data = random.Random(2).randbytes(3_000_000)
    objects.put("b", "big", data)
    objects.answer_next("GET", "alt=media", 200, data[:1_000_000], cut=True)
    objects.answer_next("GET", "alt=media", 503, error(503, "UNAVAILABLE", "busy"))
    done = client("cp", "gs://b/big", "big")
    assert done.returncode == OK, done.stderr
    assert (tranche.folder / "big").read_bytes() == data
    assert objects.seen[-1].headers["Range"] == "bytes=1000000-"


def test_a_service_without_ranges_gives_every_byte_once(client, objects, tranche, monkeypatch):
    no_checksum(objects, monkeypatch)
    data = random.Random(3).randbytes(500_000)
    objects.put("b", "big", data)
    objects.answer_next("GET", "alt=media", 200, data[:100_000], cut=True)
    objects.answer_next("GET", "alt=media", 200, data)
    assert client("cp", "gs://b/big", "big").returncode == OK
    assert (tranche.folder / "big").read_bytes() == data


def test_bytes_that_differ_from_the_checksum_leave_no_file(client, objects, tranche):
    objects.answer_next("GET", "alt=media", 200, b"A.txt")
    done = client("cp", "gs://b/a.txt", "a")
    assert done.returncode == INTERNAL and "checksum" in done.stderr
    assert [p.name for p in tranche.folder.iterdir()] == ["home"]


def test_an_upload_that_arrives_changed_is_removed(client, objects, tranche, monkeypatch):
    monkeypatch.setattr("stub_service.crc32c", lambda data: "AAAAAA==")
    tranche.write("f", "x")
    done = client("cp", "f", "gs://b/f")
    assert done.returncode == INTERNAL and "was removed" in done.stderr
    assert ("b", "f") not in objects.objects


def test_an_error_page_does_not_go_into_the_file(client, objects, tranche):
    done = client("cp", "gs://b/none", "-")
    assert (done.returncode, done.stdout) == (INPUT, "")
    assert "No such object: b/none" in done.stderr


def test_rm_by_name_pattern_and_folder(client, objects):
    assert client("rm", "gs://b/a.txt", "gs://b/dir/?.txt").returncode == OK
    assert ("b", "dir/b.txt") not in objects.objects and ("b", "dir/c d.txt") in objects.objects
    refused = client("rm", "-r", "gs://b/dir")
    assert refused.returncode == USAGE and "gs://b/dir/" in refused.stderr
    assert client("rm", "-r", "gs://b/dir/").returncode == OK
    assert sorted(name for _, name in objects.objects) == ["dir2/f.txt", "ünï/g.txt"]
    assert client("rm", "gs://b/none*").returncode == INPUT


def test_names_from_a_listing_cannot_leave_the_target_folder(client, objects, tranche):
    (tranche.folder / "got").mkdir()
    objects.put("b", "evil/../../../x.txt", b"x")
    objects.put("b", "evil/..", b"x")
    assert client("cp", "gs://b/evil/*.txt", "got").returncode == OK
    assert client("cp", "gs://b/evil/..", "got").returncode == USAGE
    assert [p.name for p in (tranche.folder / "got").iterdir()] == ["x.txt"]


# ---- With the service itself ----


@pytest.fixture
def served(tranche):
    """The commands against `tranche serve` with the fake model."""
    serve = tranche.start("serve", "--listen", "127.0.0.1:0", "--state", "state", "--json",
                          stderr=subprocess.DEVNULL)
    tranche.environment["TRANCHE_SERVER"] = json.loads(serve.stdout.readline())["url"]
    tranche.environment["TRANCHE_MODEL"] = "tranche-fake"
    yield tranche
    serve.terminate()
    serve.wait(60)


BAD = {"request": {"contents": [{"role": "tester", "parts": [{"text": "x"}]}]}}


def test_a_batch_from_file_to_file(served):
    served.write("in.jsonl", *(request(f"line {i}") for i in range(100)))
    done = served("submit", "in.jsonl", "--watch", "--label", "a=b", "-o", "gs://tranche-default/o")
    assert done.returncode == OK, done.stderr
    number = done.stdout.strip()
    assert served("results", number, "-o", "out.jsonl").returncode == OK
    assert [row["status"] for row in served.rows("out.jsonl")] == [""] * 100
    assert served("get", number, "--json").stdout.startswith('{"name":"projects/default/')
    assert number in served("jobs", "--filter", "labels.a=b AND state=JOB_STATE_SUCCEEDED").stdout
    assert json.loads(served("cost", number, "--json").stdout)["prompt_tokens"] > 0
    (row,) = served("ls", "gs://tranche-default/o/**.jsonl").stdout.splitlines()
    assert served("cp", row, "-").stdout == (served.folder / "out.jsonl").read_text()
    assert served("delete", number).returncode == OK
    assert served("get", number).returncode == INPUT


def test_a_bad_line_in_each_way_of_submitting(served):
    served.write("in.jsonl", request("good"), BAD)
    only = served("submit", "in.jsonl", "--validate-only")
    assert only.returncode == INPUT
    assert [json.loads(line)["line"] for line in only.stdout.splitlines()] == [2]
    assert "1 of 2 lines are good" in only.stderr
    assert served("submit", "in.jsonl", "--strict", "--watch").returncode == INPUT
    lenient = served("submit", "in.jsonl", "--watch")
    assert lenient.returncode == SOME_FAILED and "1 succeeded, 1 failed" in lenient.stderr
    again = served("retry", lenient.stdout.strip())
    assert again.returncode == OK, again.stderr
    assert served("watch", again.stdout.strip()).returncode == SOME_FAILED


def test_the_same_request_id_is_the_same_job(served):
    served.write("in.jsonl", request("x"))
    assert served("mb", "gs://bucket").returncode == OK
    assert served("cp", "in.jsonl", "gs://bucket/in.jsonl").returncode == OK
    submit = ("submit", "gs://bucket/in.jsonl", "--request-id", "once", "--name", "n")
    assert served(*submit).stdout == served(*submit).stdout
    assert len(served("jobs", "--json").stdout.splitlines()) == 1


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART + 777])
def test_objects_of_every_size_come_back_as_they_went(served, size):
    data = random.Random(size).randbytes(size)
    (served.folder / "f").write_bytes(data)
    assert served("mb", "gs://bucket").returncode == OK
    for arguments in (("f", "gs://bucket/d/ü #%+&=.bin"), ("gs://bucket/d/ü #%+&=.bin", "gs://bucket/copy"),
                      ("gs://bucket/copy", "back")):
        done = served("cp", *arguments)
        assert done.returncode == OK, done.stderr
    assert (served.folder / "back").read_bytes() == data
    assert served("ls", "-l", "gs://bucket/copy").stdout.split()[0] == str(size)
    assert served("rm", "-r", "gs://bucket").returncode == OK
    assert served("ls", "-r", "gs://bucket").stdout == ""


# ---- The reference ----


@pytest.mark.parametrize("command", [
    "submit", "jobs", "get", "watch", "results", "cost", "cancel", "pause", "resume", "retry", "delete",
    "ls", "cp", "rm", "mb"])
def test_the_reference_names_every_option(tranche, root, command):
    part = (root / "docs/reference/cli.md").read_text().split("## Client commands")[1]
    lines = tranche(command, "--help").stdout.split("Options:\n")[1].splitlines()
    names = [word.rstrip(",") for line in lines for word in line.split()[:2] if word.startswith("--")]
    assert f"`{command}" in part
    for name in names:
        assert name == "--help" or f"`{name}" in part, name
