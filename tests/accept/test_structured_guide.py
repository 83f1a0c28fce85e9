"""docs/guides/structured-output.md, run as it is printed: its blocks in order, in one folder, with the
default model, pydantic and Google's client. Only the server's port is another one."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from server import PROGRAM, Server

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "guides" / "structured-output.md"
PORT = "127.0.0.1:8080"


def blocks():
    return re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """All that the blocks print, by running them in one Python and one folder."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "bin").mkdir()
    (folder / "bin" / "tranche").symlink_to(PROGRAM)
    environment = {**os.environ, "HOME": str(folder), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    server = Server(tmp_path_factory.mktemp("serve"), config="")
    script = ["import subprocess"]
    for language, text in blocks():
        assert language in ("sh", "python"), language
        if language == "sh":
            text = f"subprocess.run(['sh', '-e'], input={text!r}, text=True, check=True)\n"
        script.append(text.replace(f"http://{PORT}", server.url))
    done = subprocess.run([sys.executable, "-c", "\n".join(script)], cwd=folder, env=environment,
                          capture_output=True, text=True, timeout=600, check=False)
    assert server.stop() == 0
    shutil.rmtree(folder / ".local", ignore_errors=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_of_the_guide_runs_as_printed(printed):
    assert "failed" not in printed and "not complete" not in printed
    for start in ("r1 ", "r2 ", "b1 {", "b2 {", "c0 ", "c1 ", "Sentiment.", "vendor="):
        assert re.search("^" + re.escape(start), printed, re.M), printed
