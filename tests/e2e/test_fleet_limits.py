"""Limits of an upstream that several `tranche serve` share: a stub of an inference server counts what all of them send."""
import signal
import time

import pytest

from test_fleet import Fleet, database, ended, fleet, made, metric, postgres, texts  # noqa: F401
from upstream import Upstream

pytestmark = pytest.mark.skipif(not postgres.programs(), reason="PostgreSQL is not installed (apt package postgresql)")

CONFIG = """
upstreams:
  - {{ name: api, url: "{url}/v1", {limits} }}
models:
  - {{ name: far, kind: upstream, upstreams: [{{ upstream: api, model: stub }}] }}
"""
LEASED_S = 6  # ALLOWANCE_VALID_MS


@pytest.fixture
def stub():
    with Upstream("--latency-ms", 10) as running:
        yield running


def start(fleet, stub, limits, count=2):  # noqa: F811
    (fleet.tranche.folder / "c.yaml").write_text(CONFIG.format(url=stub.url, limits=limits))
    return [fleet.start() for _ in range(count)]


def answered(server):
    return metric(server, r'tranche_upstream_exchanges_total\{upstream="api",end="answered"\}')


def share(server):
    return server.call("/tranche/v1/upstreams")[1]["upstreams"][0].get("share", {})


def wait_until(check, seconds=60):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def rate(stub, seconds):
    """Requests a second that reach the stub now, from all processes."""
    first, began = stub.stats()["requests"], time.monotonic()
    time.sleep(seconds)
    return (stub.stats()["requests"] - first) / (time.monotonic() - began)


def test_requests_in_flight_of_all_processes_keep_the_limit(fleet, stub):  # noqa: F811
    servers = start(fleet, stub, "concurrency: 4")
    ended(servers[0], made(servers[0], texts(5000), "far"))
    assert all(answered(s) > 100 for s in servers), [answered(s) for s in servers]
    assert stub.stats()["busy_max"] == 4


def test_requests_a_minute_of_all_processes_keep_the_limit(fleet, stub):  # noqa: F811
    """Both send, together at the limit's rate and no faster, also while a process dies and another one comes."""
    servers = start(fleet, stub, "max_rpm: 1200")
    began = time.monotonic()
    path = made(servers[0], texts(6000), "far")
    wait_until(lambda: all(answered(s) > 20 for s in servers))
    servers[1].process.kill()
    wait_until(lambda: share(servers[0]).get("requestsPerMinute", 0) > 1190, 2 * LEASED_S + 10)
    servers.append(fleet.start())
    wait_until(lambda: answered(servers[2]) > 20)
    parts = [share(s)["requestsPerMinute"] for s in (servers[0], servers[2])]
    assert sum(parts) <= 1200 and min(parts) > 0, parts
    sent, took = stub.stats()["requests"], time.monotonic() - began
    assert sent <= 20 * took + 20, (sent, took)
    assert servers[0].call(path + ":cancel", "POST")[0] == 200


def test_a_process_without_its_database_sends_nothing_when_its_share_has_ended(tranche, stub):
    with postgres.Postgres() as own:
        fleet = Fleet(tranche, own)  # noqa: F811
        try:
            server, = start(fleet, stub, "max_rpm: 6000", 1)
            made(server, texts(20000), "far")
            wait_until(lambda: answered(server) > 50)
            own.stop(signal.SIGQUIT)
            time.sleep(LEASED_S + 1)
            assert rate(stub, 3) == 0
            assert server.call("/healthz")[0] == 200
            status, why = server.call("/readyz")
            assert status == 503 and "the database does not answer" in why, why
            own.start()
            wait_until(lambda: server.call("/readyz")[0] == 200)
            wait_until(lambda: rate(stub, 0.5) > 0)
        finally:
            for running in fleet.servers:
                running.process.kill()
                running.process.communicate()


def test_the_fleet_is_listed_with_its_leases(fleet, stub):  # noqa: F811
    servers = start(fleet, stub, "max_rpm: 6000")
    made(servers[0], texts(20000), "far")
    wait_until(lambda: all(answered(s) > 10 for s in servers))
    seen = [s.call("/tranche/v1/fleet")[1] for s in servers]
    assert all(f["shared"] and f["leaseHeld"] and len(f["processes"]) == 2 for f in seen), seen
    assert {f["process"] for f in seen} == {p["process"] for p in seen[0]["processes"]}
    assert all(p["shards"] > 0 and p["name"] and p["version"] for p in seen[1]["processes"]), seen
    for s in servers:
        assert metric(s, "tranche_fleet_processes") == 2 and metric(s, "tranche_fleet_lease_held") == 1
        assert 10000 < metric(s, r'tranche_queue_lines\{model="far"\}') <= 20000
        assert metric(s, r'tranche_shards\{model="far",state="leased"\}') > 0
    status, answer = servers[1].call("/bigquery/v2/projects/default/datasets")
    assert status == 501 and "share this service's store" in answer["error"]["message"]


def test_a_process_that_loses_its_bucket_lives_and_is_not_ready(fleet):  # noqa: F811
    server = fleet.start()
    assert server.call("/readyz")[0] == 200
    bucket = fleet.tranche.folder / "bucket"
    bucket.rename(bucket.with_name("away"))
    bucket.symlink_to(bucket)
    wait_until(lambda: server.call("/readyz") == (503, "the bucket does not answer\n"), 90)
    assert server.call("/healthz")[0] == 200
    bucket.unlink()
    bucket.with_name("away").rename(bucket)
    wait_until(lambda: server.call("/readyz")[0] == 200, 90)


def test_rows_behind_an_open_line_are_shown_at_any_process(fleet):  # noqa: F811
    """The first shard never ends, because a line of it hangs; its checkpoint and the second shard are there to be seen."""
    (fleet.tranche.folder / "c.yaml").write_text(
        "models: [{ name: m, kind: fake, fake: { faults: [{ match: hangs, hang: true }] } }]\n")
    servers = [fleet.start(), fleet.start()]
    path = made(servers[0], ["it hangs" if i == 3 else f"line {i}" for i in range(1500)], "m")

    def rows(query):
        return [s.call(f"{path}:rows?order=done&{query}")[1] for s in servers]
    wait_until(lambda: all(int(r["total"]) == 1499 for r in rows("count=1")))  # a checkpoint comes in 10 s
    for found in rows("from=2&count=1000"):
        assert [int(r["index"]) for r in found["rows"]] == [2, *range(4, 1003)]
        assert found["next"] == "1003" and found["rows"][999]["answer"] == "echo: line 1002"
    for found in rows("from=1003&count=1000"):
        assert [int(r["index"]) for r in found["rows"]] == list(range(1003, 1500)) and "next" not in found
    for found in rows("from=1200&count=1&view=full"):
        assert found["rows"][0]["row"]["request"]["contents"][0]["parts"][0]["text"] == "line 1200"
    assert servers[0].call(path + ":cancel", "POST")[0] == 200
