"""Asks the test program schema_probe, which is linked with the embedded engine."""
import json
import os
import pathlib
import subprocess
from decimal import Decimal

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("SCHEMA_PROBE", ROOT / "build/tests/schema/schema_probe")
MODEL = os.environ.get("SCHEMA_MODEL", pathlib.Path.home() /
                       ".cache/tranche/deps/models/smollm2-135m-instruct.gguf")



class Encoder(json.JSONEncoder):
    def default(self, o):
        return float(o) if isinstance(o, Decimal) else super().default(o)


def read(text):
    """JSON whose fractions stay exact."""
    return json.loads(text, parse_float=Decimal)


def write(value):
    """JSON as the engine writes it."""
    return json.dumps(value, ensure_ascii=False, cls=Encoder)


class Probe:
    def __init__(self):
        self.process = None

    def ask(self, **question):
        if not self.process:
            self.process = subprocess.Popen(
                [PROGRAM, MODEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(question, cls=Encoder) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the probe ended with {self.process.wait()}"
        return json.loads(line)

    def close(self):
        if self.process:
            self.process.stdin.close()
            assert self.process.wait() == 0
