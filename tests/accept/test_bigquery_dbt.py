"""dbt-bigquery, unmodified: a seed, a table, a view, an incremental model that merges, and dbt's own tests."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("dbt.adapters.bigquery")

DBT = pathlib.Path(sys.prefix) / "bin" / "dbt"
PROJECT = pathlib.Path(__file__).parent / "dbt"
PROFILE = """tranche:
  target: dev
  outputs:
    dev:
      type: bigquery
      method: oauth-secrets
      token: anything
      project: warehouse
      dataset: dbt
      location: US
      threads: 2
      priority: interactive
      api_endpoint: {url}
"""


@pytest.fixture(scope="module")
def dbt(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dbt")
    shutil.copytree(PROJECT, folder, dirs_exist_ok=True)
    (folder / "profiles.yml").write_text(PROFILE.format(url=server.url))
    environment = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "HOME": str(folder)}

    def run(*arguments):
        result = subprocess.run([DBT, "--no-use-colors", *arguments, "--profiles-dir", ".", "--project-dir", "."],
                                cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout
    return run


def query(server, sql):
    import json
    import urllib.request
    call = urllib.request.Request(server.url + "/bigquery/v2/projects/warehouse/queries",
                                  data=json.dumps({"query": sql, "useLegacySql": False}).encode())
    with urllib.request.urlopen(call, timeout=60) as answer:
        return [[c["v"] for c in row["f"]] for row in json.load(answer).get("rows", [])]


def test_dbt_seeds_builds_and_tests_a_project(server, dbt):
    dbt("seed")
    assert query(server, "SELECT COUNT(*) FROM dbt.raw_orders") == [["4"]]
    dbt("run")
    assert query(server, "SELECT customer, total FROM dbt.customers ORDER BY customer") == [["ann", "30.0"], ["bob", "5.5"]]
    assert query(server, "SELECT COUNT(*) FROM dbt.big_orders") == [["2"]]
    assert query(server, "SELECT id, amount FROM dbt.history ORDER BY id") == [
        ["1", "10.0"], ["2", "20.0"], ["3", "5.5"], ["4", "0.0"]]
    # The second run merges into the incremental table, replaces the table and the view.
    query(server, "UPDATE dbt.raw_orders SET amount = 6.5 WHERE id = 3")
    dbt("run")
    assert query(server, "SELECT id, amount FROM dbt.history WHERE id = 3") == [["3", "6.5"]]
    assert query(server, "SELECT COUNT(*) FROM dbt.history") == [["4"]]
    dbt("test")
