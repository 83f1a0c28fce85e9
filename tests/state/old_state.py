"""old_state.py -- the inputs and settings of the states in this folder: make-fixtures makes the states with
an older build, tests/e2e/test_old_state.py finishes them with this one. Both must see the same bytes, so a
change here needs new fixtures."""
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
# A run's key holds the path of its output, so a run is gone on with only where it was begun.
RUN_FOLDER = pathlib.Path("/tmp/tranche-old-state")
RUN_LINES = 400
RUN_COMMAND = ["run", "in.jsonl", "-o", "out.jsonl", "--model", "tranche-fake", "--state", "state",
               "--config", "config.yaml"]
RUN_CONFIG = """retry: { attempts: 3, base_ms: 5, cap_ms: 20 }
fake:
  delay_ms: 60
  jitter_ms: 10
  window: 4
  faults:
    - { match: flaky, times: 1, code: UNAVAILABLE }
    - { match: broken, code: INVALID_ARGUMENT, message: "broken on purpose" }
"""
SERVICE_LINES = 200
SERVICE_CONFIG = """  - name: slow
    kind: fake
    fake: { delay_ms: 40, window: 4 }
service: { running_jobs_max: 2 }
"""


def text_of(number):
    """The user text of a line; line numbers count from 0."""
    kind = "broken" if number % 50 == 7 else "flaky" if number % 50 == 31 else "plain"
    return f"{kind} {number % 300 if kind == 'plain' else number}"


def lines(count):
    """Input lines with keys k0, k1 ...; some repeat, some fail once, some fail for good."""
    return "".join(json.dumps({"key": f"k{i}", "request": {
        "contents": [{"role": "user", "parts": [{"text": text_of(i)}]}],
        "generationConfig": {"temperature": 0}}}) + "\n" for i in range(count))
