"""Several `tranche serve` on one PostgreSQL and one bucket, with proxies between them that break connections.

Each process has proxies of its own to both database servers and to the bucket, so that one can lose what the others keep:
  process N -> toxiproxy "N-db0", "N-db1" -> the two servers of a Pair, whichever is the primary
  process N -> toxiproxy "N-s3" -> bad_bucket.py -> versitygw"""
import http.client
import pathlib
import random
import re
import signal
import sys
import threading
import time
import urllib.request

from servers import ROOT, S3, S3_KEYS, BadBucket, Pair, Toxiproxy

sys.path[:0] = [str(ROOT / "tests" / "accept"), str(ROOT / "tests" / "e2e")]
from server import Server  # noqa: E402
from upstream import Upstream  # noqa: E402

CALL_S = 8  # a stopped process takes connections and says nothing
CUT_OFF = (OSError, http.client.HTTPException)  # how a call ends whose process is gone
PATIENCE_S = 120  # for a call that any process may answer: as long as the worst faults last
# Our counters of what a lost lease led to.
COUNTED = ("tranche_stale_fences_total", "tranche_leases_lost_total", "tranche_shards_lost_total",
           "tranche_processes_expired_total", "tranche_shards_leased_total", "tranche_shards_done_total",
           "tranche_checkpoints_total", "tranche_database_retries_total", "tranche_bucket_retries_total")
CONFIG = """upstreams:
  - name: stub
    url: {stub}/v1
    concurrency: {concurrency}
models:
  - name: "gemini-*"
    kind: upstream
    upstreams: [{{ upstream: stub, model: stub, price: {{ input: 1, output: 2 }} }}]
service:
  webhook_allow: ["{webhooks}"]
"""


class Member(Server):
    """One process of the fleet. Faults of one member follow each other: `busy` is held while one lasts."""

    def __init__(self, number, folder, *options, config):
        self.number = number
        self.busy = threading.Lock()
        self.counters = {}  # of the processes that ended
        self.now = {}       # of the one that runs, when it was last asked
        self.ended = None   # its exit status, when it ended by itself
        folder.mkdir()
        super().__init__(folder, *options, config=config, environment=S3_KEYS)

    def start(self):
        """A process that starts while its database is away may end; its supervisor would start it again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return super().start()
            except AssertionError:
                if self.process.poll() is None:
                    self.process.kill()
                    self.process.wait()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def forget(self):
        """The process has ended: adds up what was last seen of its counters."""
        for name, value in self.now.items():
            self.counters[name] = self.counters.get(name, 0) + value
        self.now = {}

    def kill(self):
        super().kill()
        self.forget()

    def drain(self):
        """As an upgrade stops it."""
        code = self.stop()
        self.forget()
        return code

    def look(self):
        """Reads its counters, if it answers."""
        process = self.process
        try:
            with urllib.request.urlopen(self.url + "/metrics", timeout=2) as answer:
                text = answer.read().decode()
        except OSError:
            return
        if process is self.process:
            now = dict.fromkeys(COUNTED, 0.0)
            for name, value in re.findall(r"^(\w+)(?:\{[^}]*\})? (\S+)$", text, re.M):
                if name in COUNTED:
                    now[name] += float(value)
            self.now = now

    def total(self, name):
        return int(self.counters.get(name, 0) + self.now.get(name, 0))


class Fleet:
    """size processes. settings of the stub of an inference server: its options; concurrency: requests that a process has open."""

    def __init__(self, folder, size, stub, concurrency, webhooks, seed):
        self.folder = pathlib.Path(folder)
        self.random = random.Random(seed)
        self.members = []
        self.parts = []
        self.stub = self.made(Upstream(*stub))
        self.pair = self.made(Pair())
        self.pair.primary.create("fleet")
        self.pair.caught_up()
        self.servers = [self.pair.primary, self.pair.standby]
        self.s3 = self.made(S3())
        self.bucket = self.made(BadBucket(self.s3, seed))
        self.network = self.made(Toxiproxy(seed))
        config = CONFIG.format(stub=self.stub.url, concurrency=concurrency, webhooks=webhooks)
        for number in range(size):
            self.members.append(Member(number, self.folder / str(number), *self.places(number), config=config))

    def made(self, part):
        self.parts.insert(0, part)
        return part

    def places(self, number):
        """The options with which a process comes to the database and the bucket by its own proxies."""
        ports = [self.network.proxy(f"{number}-db{i}", server.port) for i, server in enumerate(self.servers)]
        bucket = self.network.proxy(f"{number}-s3", self.bucket.port)
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return ("--store", f"postgres://tranche@{hosts}/fleet?target_session_attrs=read-write",
                "--bucket", self.s3.bucket("fleet", bucket))

    def any(self, method, path, body=None, headers=None, want=(200,)):
        """The answer of whichever process answers: the call is made until one does, so it must be safe to make it again."""
        deadline = time.monotonic() + PATIENCE_S
        last = None
        while time.monotonic() < deadline:
            member = self.random.choice(self.members)
            try:
                status, answer = member.call(method, path, body, headers, timeout=CALL_S)
                if status in want:
                    return answer
                last = (member.number, status, answer)
                assert status in (408, 409, 429, 499) or status >= 500, (method, path, last)
            except CUT_OFF as error:
                last = (member.number, error)
            time.sleep(0.2)
        raise AssertionError(f"{method} {path}: nobody answers: {last}")

    def text(self, path):
        """The whole body of a GET."""
        deadline = time.monotonic() + PATIENCE_S
        last = None
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self.random.choice(self.members).url + path, timeout=CALL_S) as answer:
                    return answer.read().decode()
            except CUT_OFF as error:
                last = error
            time.sleep(0.2)
        raise AssertionError(f"GET {path}: nobody answers: {last}")

    def total(self, name):
        return sum(member.total(name) for member in self.members)

    def stop(self):
        """The exit statuses of the processes."""
        codes = []
        for member in self.members:
            if member.process.poll() is None:
                member.process.send_signal(signal.SIGCONT)
            codes.append(member.drain())
        return codes

    def remove(self):
        for member in self.members:
            if member.process.poll() is None:
                member.process.kill()
                member.process.wait()
        for part in self.parts:
            (part.remove if hasattr(part, "remove") else part.stop)()
