"""examples/ray in a cluster of Ray on this machine: two workers, of which one is killed while it works."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import pyarrow.parquet

from answering import EXAMPLES, answering, check_rows, write_rows

ROWS = 4000


def workers_of(folder):
    """The workers of the cluster whose files are in the folder, by the name that Ray gives to their processes."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"ray::MapWorker(MapBatches(Ask)") and \
                    f"RAY_TMPDIR={folder}\0".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_a_worker_that_is_killed_costs_no_row_and_no_second_answer(tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", ROWS)
    with answering(tmp_path, "--latency-ms", 40, "--slots", 16) as service, open(tmp_path / "ray.log", "wb") as log, \
            tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as short:  # for the paths of its sockets
        ray = subprocess.Popen(
            [sys.executable, EXAMPLES / "ray/answers.py", rows, tmp_path / "out", "--server", service.url,
             "--model", "gemini-2.5-flash", "--prompt", "{text}", "--rows", "250"],
            cwd=tmp_path, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(EXAMPLES), "RAY_TMPDIR": short, "RAY_USAGE_STATS_ENABLED": "0"})
        try:
            deadline = time.monotonic() + 240
            while service.answered() < ROWS // 8:
                assert ray.poll() is None and time.monotonic() < deadline, (tmp_path / "ray.log").read_text()[-4000:]
                time.sleep(0.05)
            workers = workers_of(short)
            assert len(workers) == 2
            os.kill(workers[0], signal.SIGKILL)
            assert ray.wait(timeout=300) == 0, (tmp_path / "ray.log").read_text()[-4000:]
        finally:
            ray.kill()
        asked = service.answered()
    check_rows(pyarrow.parquet.read_table(tmp_path / "out").to_pydict(), ROWS)
    assert asked == ROWS  # the batch that was repeated found the job of its first attempt
