"""A private PostgreSQL for tests: a folder of its own, a socket and a free port of 127.0.0.1, no password.

    tests/postgres.py run COMMAND...      TRANCHE_TEST_POSTGRES is its URL while COMMAND runs
    with Postgres() as server:            from Python; server.url, server.sql("..."), server.restart()

PostgreSQL refuses to run as root: root runs it as the user postgres, others as themselves. The server ends with the process that
started it, however that one ends. TRANCHE_POSTGRES_BIN names the folder of its programs, when it is not where Debian puts it.
"""

import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PR_SET_PDEATHSIG = 1
USER = "tranche"
DATABASE = "tranche"


def programs():
    """The folder of initdb and postgres, of the newest version that is installed; None when there is none."""
    named = os.environ.get("TRANCHE_POSTGRES_BIN")
    if named:
        return named
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    found.sort(key=lambda path: int(path.split("/")[4].split(".")[0]))
    if found:
        return os.path.dirname(found[-1])
    path = shutil.which("initdb")
    return os.path.dirname(path) if path else None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Postgres:
    """settings: lines of postgresql.conf. hba: lines of pg_hba.conf instead of trust for everybody here."""

    def __init__(self, settings=(), hba=None, durable=False):
        self.bin = programs()
        if not self.bin:
            raise RuntimeError("PostgreSQL is not installed (apt package postgresql)")
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.folder = tempfile.mkdtemp(prefix="tranche-pg-")
        self.data = os.path.join(self.folder, "data")
        self.log = os.path.join(self.folder, "log")
        self.port = free_port()
        self.process = None
        self.settings = [f"port = {self.port}", "listen_addresses = '127.0.0.1'",
                         f"unix_socket_directories = '{self.folder}'"]
        if not durable:
            self.settings += ["fsync = off", "full_page_writes = off"]
        self.settings += list(settings)
        self.hba = hba
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)

    @property
    def url(self):
        return f"postgres://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    def own(self, path):
        """Gives a file to the user that the server runs as."""
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def become(self):
        """In a child: the user of the server. The server ends when its parent does."""
        if self.user:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)

    def program(self, name, *args, **more):
        return subprocess.run([os.path.join(self.bin, name), *args], check=True, preexec_fn=self.become, cwd=self.folder,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, **more)

    def make(self):
        """The folder of a new cluster."""
        self.program("initdb", "-D", self.data, "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8", "--locale=C")
        self.configure()

    def configure(self):
        with open(os.path.join(self.data, "postgresql.conf"), "a") as conf:
            conf.write("\n".join(self.settings) + "\n")
        if self.hba:
            with open(os.path.join(self.data, "pg_hba.conf"), "w") as conf:
                conf.write("\n".join(self.hba) + "\n")

    def start(self):
        log = open(self.log, "a")
        self.process = subprocess.Popen([os.path.join(self.bin, "postgres"), "-D", self.data], preexec_fn=self.become, cwd=self.folder,
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()
        end = time.monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                with open(self.log) as f:
                    raise RuntimeError("PostgreSQL does not start:\n" + f.read()[-4000:])
            time.sleep(0.02)

    def answers(self):
        return subprocess.run([os.path.join(self.bin, "pg_isready"), "-q", "-h", self.folder, "-p", str(self.port)]).returncode == 0

    def stop(self, how=signal.SIGINT):
        """SIGTERM waits for the clients, SIGINT ends their sessions, SIGQUIT is a crash."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
        self.process = None

    def restart(self, how=signal.SIGINT):
        self.stop(how)
        self.start()

    def sql(self, text, database=DATABASE):
        """Rows of the last statement as lists of texts, by psql over the socket."""
        done = subprocess.run([os.path.join(self.bin, "psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", self.folder,
                               "-p", str(self.port), "-U", USER, "-d", database, "-c", text], check=True, capture_output=True, text=True, timeout=60)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def __enter__(self):
        try:
            self.make()
            self.start()
            self.sql(f"CREATE DATABASE {DATABASE}", "postgres")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


class Pooler:
    """PgBouncer before a server, in transaction mode as it comes: any database of the server, at most `size` connections to each."""

    def __init__(self, server, size=4):
        self.server = server
        self.port = free_port()
        self.size = size
        self.process = None

    @staticmethod
    def program():
        return shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")

    @property
    def url(self):
        return f"postgres://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    def __enter__(self):
        path = os.path.join(self.server.folder, "pgbouncer.ini")
        with open(path, "w") as ini:
            ini.write(f"[databases]\n* = host=127.0.0.1 port={self.server.port} user={USER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                      f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
                      f"default_pool_size = {self.size}\nlogfile = {path}.log\npidfile = {path}.pid\n")
        self.server.own(path)
        self.process = subprocess.Popen([self.program(), "-q", path], preexec_fn=self.server.become, cwd=self.server.folder,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        raise RuntimeError("PgBouncer does not start")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def main():
    if len(sys.argv) < 3 or sys.argv[1] != "run":
        sys.exit(__doc__)
    if not programs():
        print("PostgreSQL is not installed (apt package postgresql)", file=sys.stderr)
        return 77  # ctest's "skipped"
    with Postgres(["max_connections = 200"]) as server:
        return subprocess.run(sys.argv[2:], env=dict(os.environ, TRANCHE_TEST_POSTGRES=server.url)).returncode


if __name__ == "__main__":
    sys.exit(main())
