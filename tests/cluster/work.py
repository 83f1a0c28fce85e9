"""The work that a fleet does while it is broken, and what must be true of it: clients upload inputs piece by piece to any
process, create jobs, pause, resume and cancel them, and look at them all the time.

While it runs:  counters balance, what was counted stays counted, a final job does not change (I3, I6).
At the end:     each line has one row, in order, with the answer to this line (I1); the counters are what the rows say; each
                project's jobs have one final event; each message to the webhook came under one id; no budget was passed by
                more than what was in flight."""
import http.server
import json
import threading
import time
import urllib.error
import urllib.request

from fleet import CALL_S, CUT_OFF, PATIENCE_S

PROJECTS = ("default", "red", "blue", "green", "white")
SHARES = (1, 1, 2, 6)  # of the lines of a project, by job: one is much larger than a shard
BUDGET, PAUSED, CANCELLED = 0, 1, 2  # what else happens to a project's job with this number
PIECE = 256 * 1024  # of an upload
FINAL = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED")
TOKENS_MAX = 64  # of one line and its answer
LINE_WORDS = "answer this question about the weather in some words"


class Receiver:
    """Takes the messages to a webhook: how often each came, by its id."""

    def __init__(self):
        self.messages = {}  # (job, type) -> {id: times}
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                times = receiver.messages.setdefault((body["data"]["id"], body["type"]), {})
                times[self.headers["webhook-id"]] = times.get(self.headers["webhook-id"], 0) + 1
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Job:
    def __init__(self, project, number, lines):
        self.project, self.number, self.lines = project, number, lines
        self.input = f"{project}-{number}.jsonl"
        self.name = None  # of the resource, when it is created
        self.seen = None  # the last resource that a process showed
        self.budget = None
        self.acted = False  # it was paused or cancelled
        self.budget_pauses = 0

    def key(self, i):
        return f"{self.project}-{self.number}-{i}"

    def text(self, i):
        return f"{LINE_WORDS}: {self.key(i)}"

    def content(self):
        return "".join(json.dumps({"key": self.key(i), "request": {"contents": [
            {"role": "user", "parts": [{"text": self.text(i)}]}]}}) + "\n" for i in range(self.lines)).encode()


def done_of(job):
    progress = job["tranche"]["progress"]
    return progress["succeeded"] + progress["failed"] + progress["notRun"]


class Work:
    def __init__(self, fleet, lines, duration, in_flight, receiver):
        """duration: the seconds over which the jobs are created. in_flight: requests that all processes have open at most."""
        self.fleet, self.duration, self.in_flight, self.receiver = fleet, duration, in_flight, receiver
        unit = lines // (len(PROJECTS) * sum(SHARES))
        self.jobs = [Job(project, number, unit * share) for number, share in enumerate(SHARES) for project in PROJECTS]
        self.jobs.sort(key=lambda job: -job.lines)  # the large ones last longest
        self.wrong = []
        self.threads = []
        self.final_stats = None

    # ---- Clients ----

    def upload(self, project, name, content):
        """A resumable upload, each piece to any process."""
        bucket = f"fleet-{project}"
        start = f"/upload/storage/v1/b/{bucket}/o?uploadType=resumable&name={name}"
        deadline = time.monotonic() + PATIENCE_S
        place = None
        at = 0
        while time.monotonic() < deadline:
            try:
                if not place:
                    status, headers = self.send("POST", start, b"{}", {})
                    assert status == 200 or status >= 500 or status == 429, status
                    place = headers["Location"].split("/", 3)[3] if status == 200 else None
                    at = 0
                    continue
                end = min(len(content), at + PIECE)
                span = f"bytes {at}-{end - 1}/{len(content)}"
                status, headers = self.send("PUT", "/" + place, content[at:end], {"Content-Range": span})
                if status == 308:
                    at = self.taken(headers)
                    continue
                if status in (200, 201):
                    return
                assert status >= 500 or status in (404, 410, 429), status
                place = place if status >= 500 or status == 429 else None
            except CUT_OFF:
                pass
            time.sleep(0.2)
            at = self.ask(place, len(content), at)
            if at is None:
                return
        raise AssertionError(f"the upload of {name} does not end")

    def ask(self, place, size, at):
        """How far the upload is, after a failure; None: it is finished."""
        if not place:
            return 0
        try:
            status, headers = self.send("PUT", "/" + place, b"", {"Content-Range": f"bytes */{size}"})
        except CUT_OFF:
            return at
        if status in (200, 201):
            return None
        return self.taken(headers) if status == 308 else at

    @staticmethod
    def taken(headers):
        return int(headers["Range"].rsplit("-", 1)[1]) + 1 if "Range" in headers else 0

    def send(self, method, path, body, headers):
        member = self.fleet.random.choice(self.fleet.members)
        request = urllib.request.Request(member.url + path, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=CALL_S) as answer:
                answer.read()
                return answer.status, answer.headers
        except urllib.error.HTTPError as error:
            error.read()
            return error.code, error.headers

    def create(self, job):
        self.upload(job.project, job.input, job.content())
        extra = {"requestId": job.input}
        if job.number == BUDGET:
            job.budget = job.lines * TOKENS_MAX // 5
            extra["budget"] = {"tokens": job.budget}
        made = self.fleet.any("POST", f"/v1/projects/{job.project}/locations/us-central1/batchPredictionJobs", {
            "displayName": job.input, "model": "publishers/google/models/gemini-2.5-flash",
            "inputConfig": {"instancesFormat": "jsonl",
                            "gcsSource": {"uris": [f"gs://fleet-{job.project}/{job.input}"]}},
            "outputConfig": {"predictionsFormat": "jsonl",
                             "gcsDestination": {"outputUriPrefix": f"gs://fleet-{job.project}/out"}}, "tranche": extra})
        job.name = made["name"]

    def client(self):
        """Creates the jobs, the large ones at once and the rest over the time that was given."""
        large = sum(job.number == len(SHARES) - 1 for job in self.jobs)
        pause = self.duration / max(1, len(self.jobs) - large)
        for project in PROJECTS:
            self.fleet.any("POST", f"/storage/v1/b?project={project}", {"name": f"fleet-{project}"}, want=(200, 409))
        self.fleet.any("POST", "/v1/webhooks", {"name": "fleet", "uri": f"http://{self.receiver.address}/",
                                                "subscribed_events": ["batch.succeeded", "batch.cancelled"]})
        for i, job in enumerate(self.jobs):
            if i >= large:
                time.sleep(pause)
            self.create(job)

    def watcher(self):
        while not all(job.seen and job.seen["state"] in FINAL for job in self.jobs):
            for job in self.jobs:
                if job.name and not (job.seen and job.seen["state"] in FINAL):
                    self.look(job)
            time.sleep(0.3)

    def look(self, job):
        """What any process shows of it must follow from what was shown before."""
        found = self.fleet.any("GET", "/v1/" + job.name)
        progress = found["tranche"]["progress"]
        assert done_of(found) + progress["pending"] == progress["total"], found
        assert progress["total"] in (0, job.lines), found
        if job.seen:
            before = job.seen["tranche"]["progress"]
            assert progress["succeeded"] >= before["succeeded"], (before, found)
        job.seen = found
        self.act(job)

    def act(self, job):
        """A budget that is spent is made larger; some jobs are paused and resumed, or cancelled, in their middle."""
        state, tranche = job.seen["state"], job.seen["tranche"]
        if state == "JOB_STATE_PAUSED":
            if tranche.get("pauseReason") == "budget":
                self.check_budget(job, tranche)
                job.budget_pauses += 1
                job.budget *= 4
                self.fleet.any("POST", f"/v1/{job.name}:resume", {"budget": {"tokens": job.budget}}, want=(200, 400))
            elif job.acted:
                self.fleet.any("POST", f"/v1/{job.name}:resume", {}, want=(200, 400))
        elif not job.acted and state == "JOB_STATE_RUNNING" and done_of(job.seen) > job.lines // 4:
            job.acted = True
            if job.number == PAUSED:
                self.fleet.any("POST", f"/v1/{job.name}:pause", {}, want=(200, 400))
            elif job.number == CANCELLED and job.project == PROJECTS[1]:
                self.fleet.any("POST", f"/v1/{job.name}:cancel", {}, want=(200, 400))

    def check_budget(self, job, tranche):
        spent = tranche["tokens"]["prompt"] + tranche["tokens"]["generated"]
        assert spent <= job.budget + self.in_flight * TOKENS_MAX, (job.budget, tranche)

    def guarded(self, what):
        def run():
            try:
                what()
            except BaseException as error:  # pylint: disable=broad-except
                self.wrong.append(error)
                raise
        return run

    def start(self):
        for what in (self.client, self.watcher):
            self.threads.append(threading.Thread(target=self.guarded(what), daemon=True))
            self.threads[-1].start()

    def ended(self):
        if self.wrong:
            raise self.wrong[0]
        return not any(thread.is_alive() for thread in self.threads)

    # ---- The end ----

    def check(self):
        """Everything that must be true when all jobs are final; the number of answered rows."""
        answered = 0
        for job in self.jobs:
            answered += self.check_job(job)
            self.check_events(job)
        self.check_webhooks()
        self.check_upstream(answered)
        return answered

    def check_job(self, job):
        found = self.fleet.any("GET", "/v1/" + job.name)
        assert found == job.seen, (job.seen, found)
        # It may have ended before the call that cancels it came through.
        cancelled = job.acted and job.number == CANCELLED and found["state"] == "JOB_STATE_CANCELLED"
        assert cancelled or found["state"] == "JOB_STATE_SUCCEEDED", found
        rows = self.rows(job, found)
        assert [row["key"] for row in rows] == [job.key(i) for i in range(job.lines)], job.input
        tokens, answered = {"prompt": 0, "generated": 0}, 0
        for i, row in enumerate(rows):
            if row["status"]:
                assert cancelled, row
                continue
            answered += 1
            text = row["response"]["candidates"][0]["content"]["parts"][0]["text"]
            assert text == f"echo: {job.text(i)}", row
            tokens["prompt"] += row["response"]["usageMetadata"]["promptTokenCount"]
            tokens["generated"] += row["response"]["usageMetadata"]["candidatesTokenCount"]
        progress = found["tranche"]["progress"]
        assert (progress["succeeded"], progress["notRun"], progress["failed"]) == (answered, job.lines - answered, 0), found
        assert {name: found["tranche"]["tokens"][name] for name in tokens} == tokens, (tokens, found)
        assert job.number != BUDGET or job.budget_pauses, f"the budget of {job.input} paused nothing"
        return answered

    def rows(self, job, found):
        path = found["outputInfo"]["gcsOutputDirectory"].split("/", 3)[3] + "/predictions.jsonl"
        text = self.fleet.text(f"/storage/v1/b/fleet-{job.project}/o/{path.replace('/', '%2F')}?alt=media")
        return [json.loads(row) for row in text.splitlines()]

    def check_events(self, job):
        """One final event, the last of all, which have growing numbers."""
        text = self.fleet.text(f"/v1/{job.name}:events")
        events = [dict(line.split(": ", 1) for line in event.splitlines() if ": " in line) for event in text.split("\n\n")]
        events = [event for event in events if event.get("event") == "job"]
        numbers = [int(event["id"]) for event in events]
        assert numbers == sorted(set(numbers)), numbers
        states = [json.loads(event["data"])["state"] for event in events]
        assert [state for state in states if state in FINAL] == states[-1:] == [job.seen["state"]], states

    def check_webhooks(self):
        """Each final job of the project has one message; a process that was killed behind a post may have sent it again."""
        ours = [job for job in self.jobs if job.project == PROJECTS[0]]
        deadline = time.monotonic() + PATIENCE_S
        while len(self.receiver.messages) < len(ours):
            assert time.monotonic() < deadline, f"messages are missing: {sorted(self.receiver.messages)}"
            time.sleep(0.1)
        for message, ids in self.receiver.messages.items():
            assert len(ids) == 1, (message, ids)
        assert len(self.receiver.messages) == len(ours), self.receiver.messages

    def check_upstream(self, answered):
        """Every answer that counts was given, and no line was asked for that is not there."""
        stats = self.final_stats = self.fleet.stub.stats()
        assert answered <= stats["answered"], stats
        assert stats["bodies"] <= sum(job.lines for job in self.jobs), stats
