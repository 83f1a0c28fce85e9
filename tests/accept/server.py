"""A `tranche serve` of its own, on a free port of 127.0.0.1: for the acceptance tests, the crash test and
the benchmark. Python's own library is all it needs."""
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.path.abspath(os.environ.get("TRANCHE", ROOT / "build" / "tranche"))
READY_S = 30
# Names that clients take for Gemini's, answered by the fake.
CONFIG = """models:
  - name: "gemini-*"
    kind: fake
"""


def default_signals():
    """In a child: a signal that whoever runs the tests ignores would stay ignored in the program."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


SHARED = os.environ.get("TRANCHE_TEST_SHARED") == "1"


def place_of(folder):
    """Options that name where a service keeps its state: a folder below `folder`, and with TRANCHE_TEST_SHARED=1 a database and
    a prefix of a bucket which are its own. tests/cluster/servers.py starts the servers and names them in the environment."""
    place = ["--state", str(folder / "state")]
    if not SHARED:
        return place
    own = "t" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    server, bucket = os.environ["TRANCHE_TEST_POSTGRES"], os.environ["TRANCHE_TEST_S3"]
    have = psql(server, f"SELECT 1 FROM pg_database WHERE datname = '{own}'")
    if not have:
        psql(server, f"CREATE DATABASE {own}")
    name, settings = bucket.split("?")
    return [*place, "--store", server.rsplit("/", 1)[0] + "/" + own, "--bucket", f"{name}/{own}?{settings}"]


def psql(url, text):
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url, "-c", text], check=True,
                          capture_output=True, text=True)
    return done.stdout.strip()


class Server:
    """A running `tranche serve`; `url` is where it listens."""

    def __init__(self, folder, *options, config=CONFIG, more="", environment=None):
        """more: what stands in the configuration besides config. environment: what it sees besides PATH and HOME."""
        self.folder = pathlib.Path(folder)
        self.config = config + more
        self.place = place_of(self.folder)
        self.options = options
        self.environment = environment or {}
        self.process = None
        self.port = 0  # any free one; a test that restarts a server may keep its own
        self.url = None
        self.start()

    def start(self):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8", **self.environment}
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
                     "TRANCHE_FAULT"):
            if name in os.environ:
                environment[name] = os.environ[name]
        (self.folder / "config.yaml").write_text(self.config)
        self.log = open(self.folder / "serve.log", "ab+")
        start = self.log.tell()
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--listen", f"127.0.0.1:{self.port}", *self.place, "--config",
             str(self.folder / "config.yaml"), *map(str, self.options)],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment,
            cwd=self.folder, preexec_fn=default_signals)
        self.url = self.wait_for_url(start)

    def wait_for_url(self, start):
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            with open(self.folder / "serve.log", "rb") as log:
                log.seek(start)
                text = log.read().decode(errors="replace")
            found = re.search(r"https?://127\.0\.0\.1:\d+", text)
            if found:
                return found.group(0)
            if self.process.poll() is not None:
                raise AssertionError("the server ended:\n" + text)
            time.sleep(0.02)
        raise AssertionError("the server did not get ready:\n" + text)

    def kill(self):
        """As a power cut for the process."""
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.log.close()
        return code

    def call(self, method, path, body=None, headers=None, timeout=60):
        """One JSON call without any client: (status, object or text)."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method,
                                         headers={"Content-Type": "application/json",
                                                  **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def advance(self, seconds):
        status, answer = self.call("POST", "/tranche/v1/clock:advance", {"seconds": seconds})
        assert status == 200, answer

    def upload(self, bucket, name, data, headers=None):
        """An object, with its bucket."""
        self.call("POST", "/storage/v1/b?project=p1", {"name": bucket}, headers)
        data = data.encode() if isinstance(data, str) else data
        request = urllib.request.Request(
            f"{self.url}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}", data=data,
            method="POST", headers={"Content-Type": "application/jsonl", **(headers or {})})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def download(self, bucket, name):
        name = urllib.parse.quote(name, safe="")
        url = f"{self.url}/storage/v1/b/{bucket}/o/{name}?alt=media"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read().decode()


def line(text, **more):
    """A request line with that user text; `more` are its siblings."""
    return json.dumps({**more, "request": {"contents": [{"role": "user", "parts": [{"text": text}]}]}})


def lines(count, **more):
    return "".join(line(f"request {i}", key=f"k{i}", **more) + "\n" for i in range(count))


def wait_until(check, seconds=60):
    """Polls until check() is true, and gives what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")
