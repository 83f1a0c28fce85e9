"""examples/spark in a cluster of Spark on this machine: two executors, of which one is killed while it works."""
import os
import pathlib
import signal
import subprocess
import sys
import time

import pyarrow.parquet

from answering import EXAMPLES, answering, check_rows, write_rows

ROWS = 4000


def executors_of(driver):
    """The executors that a driver's own worker threads started: children of its JVM."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            command = (folder / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if parent == driver and b"CoarseGrainedExecutorBackend" in command:
            found.append(int(folder.name))
    return found


def test_an_executor_that_is_killed_costs_no_row_and_no_second_answer(tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", ROWS)
    with answering(tmp_path, "--latency-ms", 40, "--slots", 16) as service, open(tmp_path / "spark.log", "wb") as log:
        spark = subprocess.Popen(
            [pathlib.Path(sys.executable).parent / "spark-submit", "--master", "local-cluster[2,1,1024]",
             "--conf", "spark.ui.enabled=false", "--conf", "spark.task.maxFailures=8", "--conf", "spark.driver.host=127.0.0.1",
             "--conf", "spark.driver.bindAddress=127.0.0.1",
             "--py-files", EXAMPLES / "tranche_jobs.py", EXAMPLES / "spark/answers.py", rows, tmp_path / "out",
             "--server", service.url, "--model", "gemini-2.5-flash", "--prompt", "{text}", "--rows", "250", "--parallel", "8"],
            cwd=tmp_path, stdout=log, stderr=log,
            env={**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"})
        try:
            deadline = time.monotonic() + 240
            while service.answered() < ROWS // 8:
                assert spark.poll() is None and time.monotonic() < deadline, (tmp_path / "spark.log").read_text()[-4000:]
                time.sleep(0.05)
            executors = executors_of(spark.pid)
            assert len(executors) == 2
            os.kill(executors[0], signal.SIGKILL)
            assert spark.wait(timeout=300) == 0, (tmp_path / "spark.log").read_text()[-4000:]
        finally:
            spark.kill()
        asked = service.answered()
    assert "Lost executor" in (tmp_path / "spark.log").read_text()
    check_rows(pyarrow.parquet.read_table(tmp_path / "out").to_pydict(), ROWS)
    assert asked == ROWS  # the task that was repeated found the job of its first attempt
