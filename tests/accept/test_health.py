"""Goal: GET /healthz is answered while the embedded model computes on all cores.
Method: bench/service/health.py's measurement beside a running job. The bound is ten times the aim of 10 ms; the
best of three rounds counts, because other programs on the machine can delay this process as well."""
import pathlib
import sys

from server import Server

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "service"))
import health  # noqa: E402  pylint: disable=wrong-import-position

P99_S = 0.1


def test_the_health_check_is_answered_while_both_cores_compute(tmp_path):
    server = Server(tmp_path, config="")
    try:
        name = health.compute(server)
        rounds = []
        while not rounds or (len(rounds) < 3 and min(rounds) >= P99_S):
            rounds.append(health.quantile(health.latencies(server, 300), 0.99))
        print("p99 of /healthz while the model computes:",
              ", ".join(f"{p99 * 1e3:.2f} ms" for p99 in rounds))
        assert server.call("GET", "/v1/" + name)[1]["state"] == "JOB_STATE_RUNNING"
        assert min(rounds) < P99_S
        server.call("POST", f"/v1/{name}:cancel", {})
    finally:
        assert server.stop() == 0
