"""usage: jobs.py TRANCHE REQUESTS FOLDER RUNS

Runs the lines of REQUESTS as batch jobs of a service with the fake model, from an object to an object and from a table
to a table, RUNS times each in turn, each in a service of its own. Prints the medians of the time from the creation of a
job to its end, of the CPU time and of the most memory of the service, and the ratios of both kinds."""
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "accept"))
BUCKET = "bench"
SCHEMA = [{"name": "id", "type": "STRING"}, {"name": "stars", "type": "STRING"}, {"name": "request", "type": "JSON"}]


def load(bq, server):
    """The requests as the table p1.d.requests."""
    bq.dataset(server, "p1", "d")
    job = bq.ok(server.call("POST", "/bigquery/v2/projects/p1/jobs", {"configuration": {"load": {
        "sourceUris": [f"gs://{BUCKET}/requests.jsonl"], "sourceFormat": "NEWLINE_DELIMITED_JSON",
        "schema": {"fields": SCHEMA},
        "destinationTable": {"projectId": "p1", "datasetId": "d", "tableId": "requests"}}}}))
    path = f"/bigquery/v2/projects/p1/jobs/{job['jobReference']['jobId']}"
    while job["status"]["state"] != "DONE":
        time.sleep(0.1)
        job = bq.ok(server.call("GET", path))
    assert "errorResult" not in job["status"], job["status"]


def usage(server):
    """Seconds of CPU and MiB of memory at the most, of the service so far."""
    fields = open(f"/proc/{server.process.pid}/stat").read().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    status = open(f"/proc/{server.process.pid}/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0])
    return ticks / os.sysconf("SC_CLK_TCK"), peak / 1024


def measure(folder, requests, tables):
    import bq
    from server import Server
    folder.mkdir()
    server = Server(folder)
    try:
        server.upload(BUCKET, "requests.jsonl", requests.read_bytes())
        if tables:
            load(bq, server)
        source, destination = ("bq://p1.d.requests", "bq://p1.d.answers") if tables else (
            f"gs://{BUCKET}/requests.jsonl", f"gs://{BUCKET}/out")
        (pathlib.Path("/proc") / str(server.process.pid) / "clear_refs").write_text("5")  # a peak of its own
        cpu, start = usage(server)[0], time.monotonic()
        job = bq.ok(server.call("POST", bq.JOBS.format("p1"), bq.job_body(source, destination)))
        while not job["state"].endswith(("SUCCEEDED", "FAILED")):
            time.sleep(0.02)
            job = bq.ok(server.call("GET", "/v1/" + job["name"]))
        seconds, (ended, peak) = time.monotonic() - start, usage(server)
        assert job["state"] == "JOB_STATE_SUCCEEDED", job
        return seconds, ended - cpu, peak
    finally:
        server.stop()


def main():
    tranche, requests, folder, runs = sys.argv[1:]
    os.environ["TRANCHE"] = tranche
    seen = {False: [], True: []}
    for run in range(int(runs)):
        for tables in seen:
            where = pathlib.Path(folder).resolve() / f"service-{run}-{'tables' if tables else 'objects'}"
            seen[tables].append(measure(where, pathlib.Path(requests), tables))
    medians = {}
    for tables, found in seen.items():
        medians[tables] = [statistics.median(column) for column in zip(*found)]
        seconds, cpu, peak = medians[tables]
        name = "table to table" if tables else "object to object"
        print(f"{name:16} {seconds:7.2f} s  {cpu:6.2f} s CPU  {peak:6.1f} MiB")
    print(json.dumps({"time": round(medians[True][0] / medians[False][0], 2),
                      "cpu": round(medians[True][1] / medians[False][1], 2)}))


main()
