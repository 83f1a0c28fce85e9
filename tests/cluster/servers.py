#!/usr/bin/env python3
"""Servers of other people for the tests of a store that several processes share: PostgreSQL (../postgres.py) with a standby, an S3
server (versitygw), a proxy that breaks connections (toxiproxy). Each listens on free ports of 127.0.0.1, keeps its files
in a folder of its own, and ends with the process that started it.

usage: servers.py [--postgres] [--s3] [--gcs] COMMAND...
runs COMMAND with servers of its own: those that are named, or a PostgreSQL and an S3 server. It finds them in its environment:
  TRANCHE_TEST_POSTGRES  postgres://... of an empty database; the user may create more
  TRANCHE_TEST_S3        s3://tests?... of an empty bucket, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
  TRANCHE_TEST_GCS       gs://tests?... of an empty bucket
"""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from postgres import USER, Postgres, free_port  # noqa: E402

S3_KEYS = {"AWS_ACCESS_KEY_ID": "tranche", "AWS_SECRET_ACCESS_KEY": "tranche-secret"}
READY_S = 60


def answers(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def dies_with_us(number=signal.SIGKILL):
    """For preexec_fn: the child gets that signal when this process ends, however that happens."""
    def set_up():
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_DFL)
        os.setsid()  # a Ctrl-C is for us, who stop the child in order
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG
    return set_up


def wait_for(check, what, seconds=READY_S):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen in {seconds} s")


def program(name):
    """A server that scripts/setup --test compiled."""
    key = ["bash", "-c", "set -euo pipefail; source scripts/lib.sh; servers_dir"]
    folder = subprocess.run(key, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    path = pathlib.Path(folder) / name
    assert path.exists(), f"{path} is missing: run scripts/setup --test"
    return str(path)


def fake_gcs():
    """The program of a wheel that scripts/setup --test fetched."""
    cache = pathlib.Path(os.environ.get("TRANCHE_CACHE") or
                         pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tranche")
    pin = [line.split() for line in (ROOT / "scripts" / "pins").read_text().splitlines() if line.startswith("fake-gcs-")][0]
    path = cache / f"{pin[0]}-{pin[1]}" / "fake-gcs-server"
    assert path.exists(), f"{path} is missing: run scripts/setup --test"
    return str(path)


class Server(Postgres):
    """A PostgreSQL that can be a standby, and be made one again."""

    def __init__(self, settings=(), like=None):
        """like: it becomes a standby of that server."""
        super().__init__(["shared_buffers = 64MB", "max_connections = 200", "max_wal_senders = 8", "wal_keep_size = 512MB", "wal_retrieve_retry_interval = 200ms",
                          "log_min_messages = warning", "log_line_prefix = '%m %p '", *settings])
        if like:
            self.copy(like)
        else:
            self.make()
        self.start()

    def copy(self, primary):
        """Its files become those of a standby of that server."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.program("pg_basebackup", "-D", self.data, "-h", primary.folder, "-p", str(primary.port), "-U", USER, "-R",
                     "--no-sync", "-c", "fast", "-X", "stream")
        self.configure()

    def value(self, text, database="postgres"):
        """The first field of the first row of the last statement."""
        rows = self.sql(text, database)
        return rows[0][0] if rows else ""

    def promote(self):
        """A standby becomes a server that takes writes."""
        self.value("SELECT pg_promote(true, 60)")

    def set(self, name, value):
        """A setting that needs no restart."""
        self.value(f"ALTER SYSTEM SET {name} = '{value}'")
        self.value("SELECT pg_reload_conf()")

    def create(self, name):
        """The URL of a new database."""
        self.value(f'CREATE DATABASE "{name}"')
        return f"postgres://{USER}@127.0.0.1:{self.port}/{name}"

    def remove(self):
        self.__exit__()


class Pair:
    """A primary and a synchronous standby of it: what was committed is on both."""

    def __init__(self, settings=()):
        self.primary = Server(settings)
        self.standby = Server(settings, self.primary)
        self.follow()

    def follow(self):
        """From now on commits wait for the standby."""
        self.primary.set("synchronous_standby_names", "*")
        self.caught_up()

    def caught_up(self):
        wait_for(lambda: self.primary.value("SELECT sync_state FROM pg_stat_replication") == "sync",
                 "the standby's catching up")

    def fail_over(self):
        """The primary is lost in an instant, and the standby takes its place; rejoin() gives it a standby again."""
        self.caught_up()
        lost = self.primary
        lost.stop(signal.SIGQUIT)
        self.standby.promote()
        self.standby.set("synchronous_standby_names", "")
        self.primary, self.standby = self.standby, lost

    def rejoin(self):
        self.standby.copy(self.primary)
        self.standby.start()
        self.follow()

    def remove(self):
        for server in (self.standby, self.primary):
            server.remove()


class S3:
    """versitygw on a folder of its own; S3_KEYS are the keys. A bucket is a folder there."""

    def __init__(self, *options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="s3"))
        (self.folder / "data").mkdir()
        (self.folder / "meta").mkdir()
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        command = [program("versitygw"), "--port", f"127.0.0.1:{self.port}", "--keep-alive", "--quiet",
                   *self.options, "--access", S3_KEYS["AWS_ACCESS_KEY_ID"], "--secret", S3_KEYS["AWS_SECRET_ACCESS_KEY"],
                   "posix", "--sidecar", self.folder / "meta", self.folder / "data"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=dies_with_us())
        wait_for(self.answers, f"the start of versitygw ({self.folder}/log)")

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        return answers(self.port)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def bucket(self, name, port=0):
        """Makes it. port: of a proxy in front of the server."""
        (self.folder / "data" / name).mkdir(exist_ok=True)
        return f"s3://{name}?endpoint=http://127.0.0.1:{port or self.port}&region=us-east-1"

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class GCS:
    """fake-gcs-server, which keeps objects in its memory; it takes calls without a credential."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gcs"))
        self.port = free_port()
        command = [fake_gcs(), "-scheme", "http", "-host", "127.0.0.1", "-port", str(self.port), "-backend", "memory",
                   "-public-host", f"127.0.0.1:{self.port}"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                            preexec_fn=dies_with_us())
        wait_for(self.answers, f"the start of fake-gcs-server ({self.folder}/log)")

    answers = S3.answers

    def bucket(self, name, port=0):
        """Makes it. port: of a proxy in front of the server."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/storage/v1/b?project=tests", method="POST",
                                         data=json.dumps({"name": name}).encode(), headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60):
            pass
        return f"gs://{name}?endpoint=http://127.0.0.1:{port or self.port}"

    kill, remove = S3.kill, S3.remove


class BadBucket:
    """bad_bucket.py in front of an S3 server, in a process of its own."""

    def __init__(self, s3, seed=1):
        self.port = free_port()
        command = [sys.executable, pathlib.Path(__file__).with_name("bad_bucket.py"), self.port, s3.port, seed]
        self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=dies_with_us())
        self.set()
        wait_for(lambda: answers(self.port), "the start of the proxy of the bucket")

    def set(self, **faults):
        """These faults from now on, and no others; its counters so far."""
        self.process.stdin.write(json.dumps(faults) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.kill()
        self.process.wait()


class Toxiproxy:
    """Proxies of TCP connections that can be cut and delayed; https://github.com/Shopify/toxiproxy has the toxics."""

    def __init__(self, seed=1):
        self.port = free_port()
        self.process = subprocess.Popen([program("toxiproxy"), "-host", "127.0.0.1", "-port", str(self.port),
                                         "-seed", str(seed)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=dies_with_us(), env={"LOG_LEVEL": "error"})
        wait_for(self.answers, "the start of toxiproxy")

    def answers(self):
        assert self.process.poll() is None, "toxiproxy ended"
        return answers(self.port)

    def call(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"toxiproxy: {method} {path}: {error.read().decode()}") from error
        return json.loads(text) if text else None

    def proxy(self, name, port):
        """The port of a new proxy in front of that one."""
        made = self.call("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{port}"})
        return int(made["listen"].rsplit(":", 1)[1])

    def toxic(self, proxy, kind, stream="downstream", toxicity=1.0, **attributes):
        """The name under which cure() takes it off again, when the bytes that it holds back have gone through."""
        made = self.call("POST", f"/proxies/{proxy}/toxics", {"type": kind, "stream": stream, "toxicity": toxicity,
                                                              "attributes": attributes})
        return made["name"]

    def cure(self, proxy, name):
        self.call("DELETE", f"/proxies/{proxy}/toxics/{name}")

    def enable(self, proxy, on):
        """Off: open connections are cut and new ones refused."""
        self.call("POST", f"/proxies/{proxy}", {"enabled": on})

    def heal(self):
        """All proxies as they were at first."""
        self.call("POST", "/reset")

    def stop(self):
        self.process.kill()
        self.process.wait()


def main(command):
    kinds = []
    while command and command[0] in ("--postgres", "--s3", "--gcs"):
        kinds.append(command.pop(0))
    if not command or command[0] in ("-h", "--help"):
        sys.exit(__doc__)
    kinds = kinds or ["--postgres", "--s3"]
    servers, environment = [], dict(os.environ)
    try:
        if "--postgres" in kinds:
            servers.append(Server())
            environment["TRANCHE_TEST_POSTGRES"] = servers[-1].create("tests")
        if "--s3" in kinds:
            servers.append(S3())
            environment |= {**S3_KEYS, "TRANCHE_TEST_S3": servers[-1].bucket("tests")}
        if "--gcs" in kinds:
            servers.append(GCS())
            environment["TRANCHE_TEST_GCS"] = servers[-1].bucket("tests")
        return subprocess.run(command, env=environment, check=False).returncode
    finally:
        for server in servers:
            server.remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
