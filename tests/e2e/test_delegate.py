"""Whole jobs handed to another batch service: `submit --to`, and models of kind remote-batch. The other
service is ours, which speaks both of Google's dialects."""
import http.client
import http.server
import json
import random
import select
import signal
import threading
import time
import urllib.error
import urllib.request

import pytest

from conftest import request, text_of

OK, SOME_FAILED, USAGE, INPUT, STOPPED, INTERRUPTED = 0, 1, 2, 3, 4, 130
START_S = 60
JOBS = "/v1/projects/p1/locations/us-central1/batchPredictionJobs"


class Service:
    """A running `tranche serve`, its log in a file."""

    def __init__(self, tranche, name, config="", arguments=()):
        self.tranche, self.name, self.arguments = tranche, name, arguments
        self.config = tranche.folder / f"{name}.yaml"
        self.config.write_text(config)
        self.log = tranche.folder / f"{name}.log"
        self.start()

    def start(self):
        with self.log.open("a") as log:
            self.process = self.tranche.start(
                "serve", "--listen", "127.0.0.1:0", "--state", self.name, "--json", "--config",
                self.config, *self.arguments, stderr=log)
        ready, _, _ = select.select([self.process.stdout], [], [], START_S)
        line = self.process.stdout.readline() if ready else ""
        assert line, self.log.read_text()
        self.url = json.loads(line)["url"]

    def call(self, path, body=None, method=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        ask = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(ask, timeout=30) as reply:
                return reply.status, json.loads(reply.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def jobs(self):
        """Of both dialects: the displayed name and the state of each."""
        found = [(job["displayName"], job["state"].removeprefix("JOB_STATE_"))
                 for job in self.call(JOBS)[1].get("batchPredictionJobs", [])]
        for operation in self.call("/v1beta/batches?pageSize=100")[1].get("operations", []):
            meta = operation["metadata"]
            found.append((meta["displayName"], meta["state"].removeprefix("BATCH_STATE_")))
        return found

    def answered(self):
        """Of both dialects: the lines that are answered so far, in all jobs."""
        counts = [job.get("completionStats", {}).get("successfulCount", 0)
                  for job in self.call(JOBS)[1].get("batchPredictionJobs", [])]
        for operation in self.call("/v1beta/batches?pageSize=100")[1].get("operations", []):
            stats = operation["metadata"].get("batchStats", {})
            counts.append(stats.get("successfulRequestCount", 0))
        return sum(map(int, counts))

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=60)


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def service(tranche):
    services = []

    def start(*arguments, **options):
        services.append(Service(tranche, *arguments, **options))
        return services[-1]

    yield start
    for one in services:
        one.end(signal.SIGKILL)
        assert "Sanitizer" not in one.log.read_text()


class Far:
    """The other service, and the options that hand a job to it."""

    def __init__(self, service, tranche, dialect, config):
        self.service, self.tranche, self.dialect = service, tranche, dialect
        self.there = None
        self.restart("far", config)

    def restart(self, name, config=""):
        """Another service, without the jobs of the one before."""
        if self.there:
            self.there.end()
        self.there = self.service(name, config)
        assert self.tranche("mb", "gs://staging", TRANCHE_SERVER=self.there.url,
                            TRANCHE_PROJECT="p1").returncode == OK

    def options(self, model="tranche-fake"):
        more = ["--staging", "gs://staging/in"] if self.dialect == "vertex" else []
        return ["--to", self.dialect, "--endpoint", self.there.url, "--project", "p1", "--model",
                model, "--state", "state", *more]

    def submit(self, *arguments, **options):
        return self.tranche("submit", *arguments, *self.options(), **options)

    def start(self, *arguments):
        return self.tranche.start("submit", *arguments, *self.options())

    def objects(self):
        return self.there.call("/storage/v1/b/staging/o")[1].get("items", [])


@pytest.fixture(params=["vertex", "gemini"])
def far(request, service, tranche):
    def start(config=""):
        return Far(service, tranche, request.param, config)

    return start


class BadLine(http.server.ThreadingHTTPServer):
    """Stands before a service; of its exchanges a share breaks, each in one of five ways."""

    WAYS = ("before", "after", "busy", "quota", "cut")

    def __init__(self, url, share, seed):
        super().__init__(("127.0.0.1", 0), BadLineHandler)
        self.there = url.removeprefix("http://")
        self.share, self.chance = share, random.Random(seed)
        self.broken = {way: 0 for way in self.WAYS}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def choose(self):
        if self.chance.random() >= self.share:
            return None
        way = self.chance.choice(self.WAYS)
        self.broken[way] += 1
        return way


class BadLineHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Retry-After", "0")
        self.end_headers()

    def exchange(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        way = self.server.choose()
        if way in ("busy", "quota"):
            self.refuse(503 if way == "busy" else 429)
            return
        if way == "before":
            self.close_connection = True
            return
        there = http.client.HTTPConnection(self.server.there)
        there.request(self.command, self.path, body, dict(self.headers))
        reply = there.getresponse()
        data = reply.read()
        there.close()
        if way == "after":
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if way == "cut" and data:
            data = data[:len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = exchange


def ask(tranche, count, name="in.jsonl", what="question"):
    return tranche.write(name, *({"n": i, **request(f"{what} {i}")} for i in range(count)))


def assert_answered(tranche, count, name="out.jsonl", what="question"):
    rows = tranche.rows(name)
    assert [row["n"] for row in rows] == list(range(count))
    assert [text_of(row) for row in rows] == [f"echo: {what} {i}" for i in range(count)]


# ---- From the command line ----


def test_a_job_is_answered_in_input_order(tranche, far):
    far = far()
    ask(tranche, 500)
    done = far.submit("in.jsonl", "-o", "out.jsonl", "--watch")
    assert done.returncode == OK, done.stderr
    assert_answered(tranche, 500)
    assert "500 lines are handed over as " in done.stderr
    assert "is SUCCEEDED" in done.stderr
    assert len(far.there.jobs()) == 1
    assert not (tranche.folder / "out.jsonl.partial").exists()


def test_what_was_put_there_is_removed_afterwards(tranche, far):
    far = far()
    ask(tranche, 10)
    assert far.submit("in.jsonl", "-o", "out.jsonl", "--watch").returncode == OK
    assert far.objects() == []
    assert far.there.call("/v1beta/files")[1].get("files", []) == []
    assert list((tranche.folder / "state").rglob("*.jsonl")) == []


def test_bad_lines_are_told_and_not_sent(tranche, far):
    far = far()
    tranche.write("in.jsonl", {"n": 0, **request("question 0")}, "no JSON", '{"request":{}}')
    done = far.submit("in.jsonl", "-o", "out.jsonl", "--watch", "--json")
    assert done.returncode == SOME_FAILED
    rows = tranche.rows("out.jsonl")
    assert [row["status"][:11] for row in rows] == ["", "Bad Request", "Bad Request"]
    job = far.there.jobs()[0]
    assert job[1] == "SUCCEEDED"
    assert json.loads(done.stdout)["lines"]["failed"] == 2


def test_identical_requests_are_sent_once(tranche, far):
    far = far()
    tranche.write("in.jsonl", *(request(f"question {i % 5}", temperature=0) for i in range(50)))
    done = far.submit("in.jsonl", "-o", "out.jsonl", "--watch")
    assert done.returncode == OK
    assert "5 lines are handed over" in done.stderr
    assert [text_of(row) for row in tranche.rows("out.jsonl")] == [
        f"echo: question {i % 5}" for i in range(50)]


def test_without_watch_it_returns_and_the_same_command_fetches(tranche, far):
    far = far("fake: {delay_ms: 1500}")
    ask(tranche, 20)
    done = far.submit("in.jsonl", "-o", "out.jsonl")
    assert done.returncode == OK
    assert "the same command with --watch" in done.stderr
    assert not (tranche.folder / "out.jsonl").exists()
    done = far.submit("in.jsonl", "-o", "out.jsonl", "--watch")
    assert done.returncode == OK
    assert_answered(tranche, 20)
    assert len(far.there.jobs()) == 1
    again = far.submit("in.jsonl", "-o", "out.jsonl", "--watch")
    assert again.returncode == OK and "already finished" in again.stderr
    assert len(far.there.jobs()) == 1


def test_an_interrupt_leaves_the_remote_job_running(tranche, far):
    far = far("fake: {delay_ms: 3000}")
    ask(tranche, 20)
    process = far.start("in.jsonl", "-o", "out.jsonl", "--watch")
    while "handed over" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=30)[1]
    assert process.returncode == INTERRUPTED
    assert "the job goes on at" in stderr and "run the same command again" in stderr
    assert [state for _, state in far.there.jobs()][0] not in ("CANCELLING", "CANCELLED")
    assert far.submit("in.jsonl", "-o", "out.jsonl", "--watch").returncode == OK
    assert_answered(tranche, 20)
    assert len(far.there.jobs()) == 1


def test_killed_at_random_instants_it_goes_on_and_no_remote_job_is_doubled(tranche, far):
    far = far("fake: {delay_ms: 60, jitter_ms: 60}")
    chance = random.Random(5)
    for trial in range(6):
        name, output = f"in{trial}.jsonl", f"out{trial}.jsonl"
        ask(tranche, 200, name, f"question {trial}")
        before = len(far.there.jobs())
        for _ in range(5):
            process = far.start(name, "-o", output, "--watch")
            try:
                process.wait(timeout=chance.uniform(0.005, 0.25))
            except Exception:
                process.kill()
            process.communicate()
        done = far.submit(name, "-o", output, "--watch")
        assert done.returncode == OK, done.stderr
        assert_answered(tranche, 200, output, f"question {trial}")
        assert len(far.there.jobs()) == before + 1


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_over_a_bad_line_every_line_is_answered_and_no_remote_job_is_doubled(tranche, far, share):
    far = far("fake: {delay_ms: 20}")
    for trial in range(5):
        line = BadLine(far.there.url, share, trial)
        name, output = f"in{trial}.jsonl", f"out{trial}.jsonl"
        ask(tranche, 300, name)
        options = far.options()
        options[options.index("--endpoint") + 1] = line.url
        done = tranche("submit", name, "-o", output, "--watch", *options)
        line.shutdown()
        line.server_close()
        assert done.returncode == OK, done.stderr
        assert_answered(tranche, 300, output)
        assert len(far.there.jobs()) == trial + 1
    assert sum(line.broken.values()) > 0


def test_failures_there_are_failures_here_and_are_retried(tranche, far):
    far = far("fake: {faults: [{match: question 7, code: INVALID_ARGUMENT, message: no sevens}]}")
    ask(tranche, 10)
    done = far.submit("in.jsonl", "-o", "out.jsonl", "--watch")
    assert done.returncode == SOME_FAILED
    assert "no sevens" in tranche.rows("out.jsonl")[7]["status"]
    far.restart("far2")
    done = far.submit("--retry-failed", "out.jsonl", "--watch")
    assert done.returncode == OK, done.stderr
    assert "1 lines are handed over" in done.stderr
    assert_answered(tranche, 10)


# One line after the other: a job of 300 takes a minute, and is cancelled as soon as a line is answered.
SLOW = "fake: {delay_ms: 200, window: 1}"


def test_of_a_job_that_is_cancelled_there_the_lines_say_so(tranche, far):
    far = far(SLOW)
    ask(tranche, 300)
    far.submit("in.jsonl", "-o", "out.jsonl")
    if far.dialect == "vertex":
        path = far.there.call(JOBS)[1]["batchPredictionJobs"][0]["name"]
        path = f"/v1/{path}"
    else:
        path = "/v1beta/" + far.there.call("/v1beta/batches")[1]["operations"][0]["name"]
    wait_for(lambda: far.there.answered() > 0)
    assert far.there.call(f"{path}:cancel", {})[0] == 200
    done = far.submit("in.jsonl", "-o", "out.jsonl", "--watch")
    assert done.returncode == SOME_FAILED
    rows = tranche.rows("out.jsonl")
    answered = [row for row in rows if row["status"] == ""]
    assert len(rows) == 300 and 0 < len(answered) < 300
    assert all("cancelled" in row["status"] for row in rows if row["status"])
    far.restart("far2")
    done = far.submit("--retry-failed", "out.jsonl", "--watch")
    assert done.returncode == OK
    assert_answered(tranche, 300)


def test_a_model_that_is_not_there_ends_the_run_and_fails_no_line(tranche, far):
    far = far()
    ask(tranche, 10)
    done = tranche("submit", "in.jsonl", "-o", "out.jsonl", "--watch", *far.options("no-such-model"))
    assert done.returncode == STOPPED
    assert "no-such-model" in done.stderr
    assert not (tranche.folder / "out.jsonl").exists()


def test_the_key_comes_from_the_environment_and_is_not_shown(tranche, far):
    key = tranche("keys", "create", "--project", "p1", "--state", "far").stdout.strip()
    tranche.environment["TRANCHE_API_KEY"] = key
    far = far()
    ask(tranche, 10)
    del tranche.environment["TRANCHE_API_KEY"]
    done = far.submit("in.jsonl", "-o", "out.jsonl", "--watch")
    assert done.returncode == STOPPED
    assert "401" in done.stderr or "403" in done.stderr
    done = far.submit("in.jsonl", "-o", "out.jsonl", "--watch", TRANCHE_UPSTREAM_KEY=key)
    assert done.returncode == OK, done.stderr
    assert_answered(tranche, 10)
    assert key not in done.stderr + done.stdout


def test_a_service_account_gets_its_token_from_there(tranche, far):
    far = far()
    account = tranche.folder / "account.json"
    made = tranche("keys", "create", "--project", "p1", "--state", "far", "--service-account", account,
                   "--url", far.there.url)
    assert made.returncode == OK, made.stderr
    ask(tranche, 10)
    assert far.submit("in.jsonl", "-o", "out.jsonl", "--watch").returncode == STOPPED
    done = far.submit("in.jsonl", "-o", "out.jsonl", "--watch",
                      GOOGLE_APPLICATION_CREDENTIALS=str(account))
    assert done.returncode == OK, done.stderr
    assert_answered(tranche, 10)


@pytest.mark.parametrize("arguments, words", [
    (["--staging", "gs://b"], "go with --to"),
    (["--to", "vertex", "--model", "m", "--project", "p"], "--staging"),
    (["--to", "vertex", "--model", "m", "--staging", "gs://b"], "--project"),
    (["--to", "gemini"], "--model"),
    (["--to", "gemini", "--model", "m"], "TRANCHE_UPSTREAM_KEY"),
    (["--to", "gemini", "--model", "m", "--endpoint", "nowhere"], "is not a URL"),
    (["--to", "gemini", "--model", "m", "--bucket", "b"], "with --to only"),
    (["--to", "gemini", "--model", "m", "--budget-usd", "1"], "with --to only"),
])
def test_what_is_missing_or_has_no_meaning_is_told(tranche, arguments, words):
    ask(tranche, 1)
    done = tranche("submit", "in.jsonl", *arguments)
    assert done.returncode == USAGE
    assert words in done.stderr


def test_without_an_input_it_says_so(tranche):
    assert "INPUT is missing" in tranche("submit").stderr
    assert "INPUT is missing" in tranche("submit", "--to", "gemini", "--model", "m", "--endpoint",
                                         "http://127.0.0.1:1").stderr


# ---- By configuration ----


def configuration(far, more=""):
    url = far.there.url + ("/v1/projects/p1/locations/us-central1" if far.dialect == "vertex"
                           else "/v1beta")
    return json.dumps({
        "upstreams": [{"name": "google", "url": url, "dialect": "gemini"}],
        "models": [{
            "name": "gemini-*", "kind": "remote-batch", "staging": "gs://staging/in",
            "poll_ms": 500, "price": {"input": 1.0, "output": 2.0},
            "upstreams": [{"upstream": "google", "model": "tranche-fake"}],
        }],
    })


def test_a_run_with_such_a_model_is_handed_over_and_priced_as_a_batch(tranche, far):
    far = far()
    ask(tranche, 100)
    (tranche.folder / "c.yaml").write_text(configuration(far))
    done = tranche("run", "in.jsonl", "-o", "out.jsonl", "--model", "gemini-2.5-flash", "--config",
                   "c.yaml", "--json", "--state", "state")
    assert done.returncode == OK, done.stderr
    assert_answered(tranche, 100)
    cost = json.loads(done.stdout)["cost"]
    # Two words in, three out.
    assert cost["batch_usd"] == pytest.approx(100 * (2 * 1.0 + 3 * 2.0) / 2 / 1e6)


@pytest.fixture
def near(service, tranche, far):
    """A service of ours whose model is handed to the far one."""
    def start(config=""):
        there = far(config)
        here = service("near", configuration(there))
        tranche.environment |= {"TRANCHE_SERVER": here.url, "TRANCHE_PROJECT": "p1"}
        return here, there

    return start


def test_a_job_of_the_service_is_handed_over(tranche, near):
    _, far = near()
    ask(tranche, 300)
    done = tranche("submit", "in.jsonl", "--model", "gemini-2.5-flash", "--watch")
    assert done.returncode == OK, done.stderr
    done = tranche("results", done.stdout.strip(), "-o", "out.jsonl")
    assert done.returncode == OK, done.stderr
    assert_answered(tranche, 300)
    assert len(far.there.jobs()) == 1


def test_the_trace_of_a_job_goes_on_to_the_batch_service(near):
    """The far service names the trace of a call in its log, and keeps that of the call that made a job."""
    here, far = near()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    body = {"batch": {"displayName": "x", "inputConfig": {"requests": {"requests": [
        {"request": {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}}]}}}}
    status, made = here.call("/v1beta/models/gemini-2.5-flash:batchGenerateContent", body,
                             traceparent=f"00-{trace}-00f067aa0ba902b7-01", tracestate="a=1")
    assert status == 200, made
    wait_for(lambda: here.call("/v1beta/" + made["name"])[1].get("done"))
    lines = [line for line in far.there.log.read_text().splitlines() if trace in line]
    assert any("created" in line for line in lines) and len(lines) >= 2, lines


def test_a_cancel_here_cancels_there_and_keeps_what_was_answered(tranche, near):
    _, far = near(SLOW)
    ask(tranche, 300)
    job = tranche("submit", "in.jsonl", "--model", "gemini-2.5-flash").stdout.strip()
    wait_for(lambda: far.there.answered() > 0)
    assert tranche("cancel", job).returncode == OK
    tranche("watch", job)
    assert [state for _, state in far.there.jobs()] == ["CANCELLED"]
    tranche("results", job, "-o", "out.jsonl")
    rows = tranche.rows("out.jsonl")
    answered = [row for row in rows if row["status"] == ""]
    assert len(rows) == 300 and 0 < len(answered) < 300


def test_a_paused_job_goes_on_there_and_a_cancel_ends_it_there_too(tranche, near):
    _, far = near(SLOW)
    ask(tranche, 300)
    job = tranche("submit", "in.jsonl", "--model", "gemini-2.5-flash").stdout.strip()
    wait_for(lambda: far.there.answered() > 0)
    assert tranche("pause", job).returncode == OK
    wait_for(lambda: "PAUSED" in tranche("get", job, "--json").stdout)
    assert [s for _, s in far.there.jobs()] == ["RUNNING"]
    assert tranche("cancel", job).returncode == OK
    wait_for(lambda: [s for _, s in far.there.jobs()] == ["CANCELLED"])
    tranche("watch", job)
    assert tranche("results", job, "-o", "out.jsonl").returncode == OK
    rows = tranche.rows("out.jsonl")
    assert len(rows) == 300 and any(row["status"] == "" for row in rows)


def test_the_failures_of_a_job_are_retried_alone(tranche, near):
    _, far = near("fake: {faults: [{match: question 7, times: 1, code: INVALID_ARGUMENT}]}")
    ask(tranche, 10)
    job = tranche("submit", "in.jsonl", "--model", "gemini-2.5-flash", "--watch").stdout.strip()
    again = tranche("retry", job).stdout.strip()
    tranche("watch", again)
    assert tranche("results", again, "-o", "out.jsonl").returncode == OK
    assert len(tranche.rows("out.jsonl")) == 10
    assert len(far.there.jobs()) == 2
    stats = far.there.call("/v1beta/batches?pageSize=9")[1].get("operations")
    if stats:
        counts = sorted(int(o["metadata"]["batchStats"]["requestCount"]) for o in stats)
        assert counts == [1, 10]


def test_the_service_killed_and_started_again_hands_nothing_over_twice(tranche, near):
    here, far = near("fake: {delay_ms: 400, jitter_ms: 400}")
    chance = random.Random(6)
    ask(tranche, 200)
    job = tranche("submit", "in.jsonl", "--model", "gemini-2.5-flash").stdout.strip()
    for _ in range(5):
        time.sleep(chance.uniform(0.01, 0.3))
        here.end(signal.SIGKILL)
        here.start()
        tranche.environment["TRANCHE_SERVER"] = here.url
    assert tranche("watch", job).returncode == OK
    assert tranche("results", job, "-o", "out.jsonl").returncode == OK
    assert_answered(tranche, 200)
    assert len(far.there.jobs()) == 1


def test_single_requests_and_budgets_are_refused_in_words(tranche, near):
    here, _ = near()
    body = request("hello")["request"]
    for verb in ("generateContent", "streamGenerateContent?alt=sse", "countTokens"):
        status, answer = here.call(f"/v1beta/models/gemini-2.5-flash:{verb}", body)
        assert (status, answer["error"]["status"]) == (501, "UNIMPLEMENTED")
        assert "whole jobs" in answer["error"]["message"]
    ask(tranche, 1)
    done = tranche("submit", "in.jsonl", "--model", "gemini-2.5-flash", "--watch", "--budget-usd", "1")
    assert done.returncode != OK
    assert "no budget" in done.stderr
