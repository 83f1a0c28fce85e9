"""Keys for the servers of these tests."""
import json
import subprocess

from server import PROGRAM


def make_key(folder, project, role="user"):
    text = subprocess.run([PROGRAM, "keys", "create", "--project", project, "--role", role, "--json", "--state",
                           str(folder / "state")], capture_output=True, text=True, timeout=60, check=True).stdout
    return json.loads(text)["key"]
