"""What people who test their own code get from the fake: JSON that fits, answers of their own, a fixture."""
import json
import os
import re
import subprocess
import sys

import pytest

from conftest import PROGRAM, ROOT, request, text_of

OK = 0
NESTED = {"type": "object", "properties": {
    "name": {"type": "string", "minLength": 6, "maxLength": 9}, "when": {"type": "string", "format": "date"},
    "stars": {"type": "integer", "minimum": 3, "multipleOf": 2}, "rate": {"type": "number", "maximum": -1.5},
    "kind": {"enum": ["b", "a"]}, "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
    "next": {"anyOf": [{"$ref": "#/$defs/leaf"}, {"type": "null"}]}, "ok": {"type": ["null", "boolean"]}},
    "$defs": {"leaf": {"type": "object", "properties": {"v": {"const": [1, {"x": None}]}}}}}


def answer(tranche, **config):
    tranche.write("in.jsonl", request("x", **config))
    done = tranche("run", "in.jsonl", "--model", "tranche-fake", "--overwrite")
    assert done.returncode == OK, done.stderr
    return text_of(tranche.rows("in.out.jsonl")[0])


def test_the_fake_makes_json_that_fits_the_schema(tranche):
    made = answer(tranche, responseMimeType="application/json", responseJsonSchema=NESTED)
    assert json.loads(made) == {
        "name": "textte", "when": "2026-01-01", "stars": 4, "rate": -1.5, "kind": "b",
        "tags": ["text", "text"], "next": {"v": [1, {"x": None}]}, "ok": True}


def test_googles_schema_is_fitted_as_well(tranche):
    made = answer(tranche, responseMimeType="application/json", responseSchema={
        "type": "ARRAY", "minItems": "2", "items": {"type": "OBJECT", "properties": {
            "n": {"type": "INTEGER"}, "day": {"type": "STRING", "enum": ["MON", "TUE"]}}}})
    assert json.loads(made) == [{"n": 0, "day": "MON"}] * 2


def test_a_schema_that_refers_to_itself_ends(tranche):
    tree = {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}}
    made = json.loads(answer(tranche, responseMimeType="application/json", responseJsonSchema=tree))
    assert made["children"][0]["children"]


def test_answers_of_the_configuration_are_given_by_what_a_request_says(tranche):
    tranche.write("in.jsonl", request("say hello"), request("a refund, hello"), request("other"))
    tranche.write("c.yaml", "fake:", "  answers:", "    - { match: refund, text: '{\"a\": 1}' }",
                  "    - { match: hello, text: Good day. }")
    done = tranche("run", "in.jsonl", "--model", "tranche-fake", "--config", "c.yaml")
    assert done.returncode == OK, done.stderr
    assert [text_of(row) for row in tranche.rows("in.out.jsonl")] == ["Good day.", '{"a": 1}', "echo: other"]


TEST = """

import urllib.request

@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-99-ultra", "my-tuned-model"])
def test_mine(gemini, model):
    body = {"contents": [{"parts": [{"text": "hi"}]}]}
    call = urllib.request.Request(f"{gemini}/v1beta/models/{model}:generateContent", json.dumps(body).encode(),
                                  {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=60) as reply:
        assert json.load(reply)["candidates"][0]["content"]["parts"][0]["text"] == "echo: hi"
"""


def test_the_fixture_of_the_page_serves_every_model_name(tranche):
    """The fixture as it stands in docs/guides/ci.md, in a test of a user, with `tranche` in PATH."""
    page = (ROOT / "docs" / "guides" / "ci.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?server\.terminate\(\)\n)", page, re.M | re.S)
    assert len(block.splitlines()) <= 12
    (tranche.folder / "test_mine.py").write_text(block + TEST)
    tranche.write("answers.yaml", "{}")
    (tranche.folder / "bin").mkdir()
    (tranche.folder / "bin" / "tranche").symlink_to(PROGRAM)
    environment = {**tranche.environment, "PATH": f"{tranche.folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"],
                          cwd=tranche.folder, env=environment, capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
