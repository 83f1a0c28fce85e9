"""@google/genai for JavaScript: genai.mjs says what it checks."""
import os
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


def run_node(script, tmp_path, *arguments):
    """Runs it beside the installed clients: node looks for modules from where a script lies."""
    modules = pathlib.Path(os.environ["TRANCHE_NODE"]) / "node_modules"
    shutil.copy(HERE / script, tmp_path / script)
    (tmp_path / "node_modules").symlink_to(modules)
    node = pathlib.Path(os.environ["TRANCHE_NODE"]) / "bin" / "node"
    return subprocess.run([str(node), script, *arguments], cwd=tmp_path, capture_output=True,
                          text=True, timeout=120, check=False)


def test_the_javascript_client_works_in_both_dialects(server, tmp_path):
    result = run_node("genai.mjs", tmp_path, server.url)
    assert result.returncode == 0, result.stdout + result.stderr
