"""A job that is taken up again after a kill: by what its check learnt of the lines, or, when that is torn,
missing or of another version, by reading the input again. The output is the same."""
import json

import pytest

from server import CONFIG, Server, wait_until

JOBS = "/v1/projects/p1/locations/us-central1/batchPredictionJobs"
SLOW = """  - name: "slow-fake"
    kind: fake
    fake: { jitter_ms: 600000 }
"""
LINES = 3000  # over 1 MiB: what was learnt of a smaller input is not kept


def text_of(i):
    if i % 100 == 7:
        return "no json"
    return json.dumps({"key": f"k{i}", "request": {"contents": [
        {"role": "user", "parts": [{"text": f"question {i} " + "x" * 500}]}]}, "more": [i]})


def tear(index):
    index.write_bytes(index.read_bytes()[:-100])


def make_older(index):
    data = bytearray(index.read_bytes())
    data[:] = data[:len(data) // 2] + bytes(len(data) - len(data) // 2)
    index.write_bytes(bytes(data))


@pytest.mark.parametrize("harm", [None, tear, make_older, lambda index: index.unlink()],
                         ids=["whole", "torn", "zeroed", "missing"])
def test_a_killed_job_goes_on_whatever_became_of_its_index(tmp_path, harm):
    server = Server(tmp_path, more=SLOW)
    try:
        server.upload("resume", "in.jsonl", "".join(text_of(i) + "\n" for i in range(LINES)))
        name = server.call("POST", JOBS, {
            "displayName": "x", "model": "publishers/google/models/slow-fake",
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://resume/in.jsonl"]}},
            "outputConfig": {"predictionsFormat": "jsonl",
                             "gcsDestination": {"outputUriPrefix": "gs://resume/out"}}})[1]["name"]

        def job():
            return server.call("GET", "/v1/" + name)[1]
        wait_until(lambda: job()["tranche"]["progress"]["succeeded"] > 0)
        server.kill()
        folder, = (tmp_path / "state" / "jobs").iterdir()
        assert (folder / "lines.index").stat().st_size > LINES * 8
        if harm:
            harm(folder / "lines.index")
        server.config = CONFIG + SLOW.replace("600000", "0")
        server.start()
        done = wait_until(lambda: job() if job()["state"] == "JOB_STATE_SUCCEEDED" else None)
        assert not (folder / "lines.index").exists()
        bucket, _, path = done["outputInfo"]["gcsOutputDirectory"].removeprefix("gs://").partition("/")
        rows = [json.loads(row) for row in
                server.download(bucket, path + "/predictions.jsonl").splitlines()]
        assert len(rows) == LINES
        for i, row in enumerate(rows):
            if i % 100 == 7:
                assert row["request"] == "no json" and row["status"].startswith("Bad Request")
            else:
                assert row["key"] == f"k{i}" and row["more"] == [i] and row["status"] == ""
                assert row["request"] == json.loads(text_of(i))["request"]
    finally:
        server.stop()
