"""What the tests of the examples share: a service in front of a server that answers with the question."""
import contextlib
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
sys.path[:0] = [str(EXAMPLES), str(ROOT / "tests/accept"), str(ROOT / "tests/e2e")]
from server import Server  # noqa: E402
from upstream import Upstream  # noqa: E402

CONFIG = """models:
  - {{ name: "gemini-*", kind: upstream, upstreams: [{{ upstream: stub, model: stub }}] }}
upstreams:
  - {{ name: stub, url: "{url}/v1" }}
"""


class Answering:
    def __init__(self, server, stub):
        self.server, self.stub, self.url = server, stub, server.url

    def answered(self):
        """Questions that the model was asked, each time it was asked counted."""
        return self.stub.stats()["answered"]


@contextlib.contextmanager
def answering(folder, *options):
    """options: of the stub."""
    with Upstream("--say", *options) as stub:
        server = Server(folder, config=CONFIG.format(url=stub.url))
        try:
            yield Answering(server, stub)
        finally:
            server.stop()


def write_rows(path, count):
    path.write_text("".join(json.dumps({"id": i, "text": f"row {i}"}) + "\n" for i in range(count)))
    return path


def check_rows(columns, count):
    """Each row once, with its own answer."""
    assert sorted(columns["id"]) == list(range(count))
    assert all(answer == f"row {i}" and error is None
               for i, answer, error in zip(columns["id"], columns["answer"], columns["error"]))
