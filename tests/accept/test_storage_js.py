"""@google-cloud/storage for JavaScript: storage.mjs says what it checks."""
from test_genai_js import run_node


def test_the_javascript_client_stores_and_reads_objects(server, tmp_path):
    result = run_node("storage.mjs", tmp_path, server.url)
    assert result.returncode == 0, result.stdout + result.stderr
