"""@google-cloud/bigquery for JavaScript: bigquery.mjs says what it checks."""
from test_genai_js import run_node


def test_the_javascript_client_loads_queries_and_reads(server, tmp_path):
    result = run_node("bigquery.mjs", tmp_path, server.url)
    assert result.returncode == 0, result.stdout + result.stderr
