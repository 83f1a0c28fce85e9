"""README.md and the pages of docs/, run as they are printed: a page's blocks in order, in one folder, in one
shell's environment and one Python, with the default model and the clients of the registries.

A block of sh, python or js is run; one that begins with a comment that names a file becomes that file. Only addresses differ: ports become free ones, Google's hosts become a stand-in here,
databases at the host db and the bucket tranche become private ones, and the scripts that install are not run again. A page that stops to be run is an error, not a skipped test."""
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from server import PROGRAM, ROOT, Server, default_signals

sys.path[:0] = [str(ROOT / "tests" / "e2e"), str(ROOT / "tests" / "cluster")]
from servers import S3, Server as Database  # noqa: E402
from upstream import Upstream  # noqa: E402

RUN = {"sh", "python", "js"}
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
         if any(language in RUN for language, _ in
                re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S))]
GEMINI = "https://generativelanguage.googleapis.com/v1beta"
QUESTION = {"request": {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}],
                        "generationConfig": {"maxOutputTokens": 8}}}
# One Python for all blocks of a page, which sees the environment that blocks of sh leave.
DRIVER = """
import os, subprocess
def sh(text):
    subprocess.run(["bash", "-e"], input=text + "\\nenv -0 > .environment\\n", text=True, check=True)
    for item in open(".environment", newline="").read().split("\\0"):
        name, _, value = item.partition("=")
        if name and name not in ("_", "SHLVL", "PWD", "OLDPWD"):
            os.environ[name] = value
"""


def blocks(page):
    """(language, text) in order; of a file to write its name stands for the language."""
    found = []
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
        named = re.match(r"# ([\w.-]+\.(?:yaml|jsonl|csv|py))\n", text)
        if named:
            found.append((named.group(1), text))
        elif language in RUN:
            found.append((language, text))
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Place:
    """A folder in which a page is read: a user's files, the program in PATH, and servers."""

    def __init__(self, folder):
        self.folder, self.stops = folder, []
        self.port, self.ports = free_port(), {}
        (folder / "bin").mkdir()
        self.script("bin/tranche", f'exec "{PROGRAM}" "$@"\n')
        for name in ("setup", "build", "demo"):
            self.script(f"scripts/{name}", "exit 0\n")
        self.script("bin/llama-server", "exit 0\n")  # a stand-in answers at its port
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "build").mkdir()
        (folder / "build" / "tranche").symlink_to(folder / "bin" / "tranche")
        cache = pathlib.Path(os.environ.get("TRANCHE_CACHE", pathlib.Path.home() / ".cache" / "tranche"))
        (folder / ".cache").mkdir()
        (folder / ".cache" / "tranche").symlink_to(cache)
        (folder / "in.gguf").symlink_to(next((cache / "deps" / "models").glob("smollm2*.gguf")))
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("TRANCHE", "XDG_"))},
            "HOME": str(folder), "GEMINI_API_KEY": "any", "TRANCHE_SERVER": f"http://127.0.0.1:{self.port}",
            "PYTHONPATH": str(ROOT / "packages" / "python" / "src"), "TRANCHE_PROGRAM": PROGRAM,
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{self.port}",
            "PATH": f"{folder / 'bin'}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
        (folder / "requests.jsonl").write_text("".join(
            json.dumps({"key": f"k{i}", **QUESTION}) + "\n" for i in range(3)))
        shutil.copy(folder / "requests.jsonl", folder / "in.jsonl")
        (folder / "reviews.csv").write_text("id,text\n1,Spotless room.\n2,\"Cold food, and loud.\"\n")

    def script(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    def upstream(self):
        stub = Upstream()
        self.stops.append(stub.stop)
        return stub.url

    def port_of(self, number):
        """A free port in the place of that one."""
        return self.ports.setdefault(number, free_port())

    @functools.cache
    def database_server(self):
        server = Database()
        self.stops.append(server.remove)
        return server

    @functools.cache
    def database(self, name):
        """Address and name of a new database."""
        return self.database_server().create(name).rsplit("@", 1)[1]

    @functools.cache
    def bucket(self):
        """The setting that stands behind the bucket's name and prefix: where it is."""
        server = S3()
        self.stops.append(server.remove)
        return re.search(r"endpoint=[^&]+", server.bucket("tranche"))[0]

    def google(self):
        """Another service in Google's place."""
        far = Server(self.folder_of(f"far{len(self.stops)}"))
        self.stops.append(far.stop)
        return far

    @functools.cache
    def far(self):
        """The one that this place's jobs go to."""
        return self.google()

    def google_with_account(self):
        """One that knows the service account of account.json, which is for project my-project."""
        far = Server(self.folder_of("far-with-account"))
        self.stops.append(far.stop)
        far.call("POST", "/storage/v1/b?project=my-project", {"name": "my-bucket"})
        subprocess.run([PROGRAM, "keys", "create", *far.place, "--project", "my-project",
                        "--service-account", self.folder / "account.json", "--url", far.url],
                       check=True, capture_output=True)
        return far

    def folder_of(self, name):
        (self.folder / name).mkdir()
        return self.folder / name

    def stop(self):
        for stop in self.stops:
            stop()
        served = self.folder / "serve.pid"
        for pid in served.read_text().split() if served.exists() else []:
            os.kill(int(pid), signal.SIGTERM)


def localised(place, text):
    """The text with addresses of this test."""
    text = re.sub(r"127\.0\.0\.1:8080\b", f"127.0.0.1:{place.port}", text)
    text = re.sub(r"127\.0\.0\.1:(808[1-9])\b", lambda port: f"127.0.0.1:{place.port_of(port[1])}", text)
    text = re.sub(r"postgres://(\w+)@db/(\w+)", lambda url: f"postgres://{'tranche' if url[1] == 'admin' else url[1]}"
                  f"@{place.database(url[2])}", text)
    text = re.sub(r"s3://tranche/[\w-]+", lambda url: f"{url[0]}?{place.bucket()}", text)
    for address in ("http://127.0.0.1:8000", "http://127.0.0.1:8001", "http://127.0.0.1:8090"):
        if address in text:
            text = text.replace(address, place.upstream())
    if GEMINI in text:
        far = f"{place.google().url}/v1beta"
        text = text.replace(f"url: {GEMINI}", f"url: {far}\n    dialect: gemini")
        text = text.replace(GEMINI, f"{far} --dialect gemini")
    if "--to gemini" in text:
        text = text.replace("--to gemini", f"--to gemini --project p1 --endpoint {place.far().url}")
    if "--to vertex" in text:
        text = text.replace("--to vertex", f"--to vertex --endpoint {place.google_with_account().url}")
        text = f"(unset TRANCHE_UPSTREAM_KEY\n{text})\n"  # the reader has a key or an account
    return text


def with_port(place, line):
    if "tranche serve" in line and "--listen" not in line:
        return line.replace("tranche serve", f"tranche serve --listen 127.0.0.1:{place.port}", 1)
    return line


def shell(place, text):
    lines = []
    for line in text.splitlines():
        here = with_port(place, line)
        if "tranche serve" in line:
            here = re.sub(r"(\s*&)?(\s+#.*)?$", "", here) + " >>serve.log 2>&1 & echo $! >>serve.pid"
        lines.append(here)
    if "tranche serve" in text:  # a reader sees that it is ready before going to the next block
        lines.append(f"until curl -sf http://127.0.0.1:{place.port}/healthz >/dev/null; do sleep 0.1; done")
    return "\n".join(lines)


def python_of(text):
    """vertexai and bigframes have environments of their own: their clients do not go with the newest ones."""
    if "import bigframes" in text:
        return os.environ["TRANCHE_BIGFRAMES_PYTHON"]
    return os.environ["TRANCHE_VERTEXAI_PYTHON"] if "vertexai" in text.replace("vertexai=True", "") else None


def page_python(page):
    """BigQuery's clients have one too, with the Gen AI SDK."""
    tables = "google.cloud import bigquery" in page.read_text(encoding="utf-8")
    return os.environ["TRANCHE_BIGQUERY_PYTHON"] if tables else sys.executable


def script(place, page):
    lines = [DRIVER]
    for number, (language, text) in enumerate(blocks(page)):
        text = localised(place, text)
        other = python_of(text) if language == "python" else None
        if language == "sh":
            lines.append(f"sh({shell(place, text)!r})")
        elif language == "js":
            (place.folder / "node_modules").symlink_to(pathlib.Path(os.environ["TRANCHE_NODE"]) / "node_modules")
            (place.folder / f"block{number}.mjs").write_text(text)
            lines.append(f"subprocess.run(['{os.environ['TRANCHE_NODE']}/bin/node', 'block{number}.mjs'], check=True)")
        elif other:
            (place.folder / f"block{number}.py").write_text(text)
            lines.append(f"subprocess.run([{other!r}, 'block{number}.py'], check=True)")
        elif language != "python":
            lines.append(f"open({language!r}, 'w').write({text!r})")
        else:
            lines.append(text)
    return "\n".join(lines)


@pytest.fixture
def place(tmp_path):
    here = Place(tmp_path)
    yield here
    here.stop()


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_a_page_runs_as_it_is_printed(place, page):
    (place.folder / "page.py").write_text(script(place, page))
    out = place.folder / "page.out"
    with open(out, "w") as log:
        done = subprocess.run([page_python(page), "page.py"], cwd=place.folder, env=place.environment, stdin=subprocess.DEVNULL,
                              stdout=log, stderr=subprocess.STDOUT, timeout=600, check=False, preexec_fn=default_signals)
    assert done.returncode == 0, out.read_text()[-6000:]
