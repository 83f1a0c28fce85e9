"""What the end-to-end tests share: the built program, and a folder of its own for each test.

TRANCHE names the program (default: build/tranche). A test asks for `tranche` and calls it like a
command line; state, configuration and cache of the user who runs the tests are never touched."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.path.abspath(os.environ.get("TRANCHE", ROOT / "build" / "tranche"))


def default_signals():
    """In a child: a signal that whoever runs the tests ignores would stay ignored in the program."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Tranche:
    """Runs the program in a folder; `result.stdout` and `.stderr` are text."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "LC_ALL": "C.UTF-8",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def __call__(self, *arguments, stdin=None, timeout=300, **environment):
        return subprocess.run(
            [PROGRAM, *map(str, arguments)], cwd=self.folder, input=stdin, timeout=timeout,
            capture_output=True, text=True, env={**self.environment, **environment}, check=False)

    def start(self, *arguments, **options):
        """The running process, for tests that signal it."""
        options = {"preexec_fn": default_signals, "stdin": subprocess.DEVNULL,
                   "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)], cwd=self.folder, text=True, env=self.environment,
            **options)

    def write(self, name, *lines):
        """A JSON Lines file of objects, or of text as it is."""
        path = self.folder / name
        text = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text("".join(line + "\n" for line in text))
        return path

    def rows(self, name):
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


@pytest.fixture
def tranche(tmp_path):
    (tmp_path / "home").mkdir()
    return Tranche(tmp_path)


@pytest.fixture(scope="session")
def root():
    return ROOT


def request(text, **config):
    """A request on one line with that user text."""
    body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    if config:
        body["generationConfig"] = config
    return {"request": body}


def text_of(row):
    return "".join(p.get("text", "") for p in row["response"]["candidates"][0]["content"]["parts"])
