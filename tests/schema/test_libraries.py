"""Goal: schemas as pydantic, zod, langchain and instructor make them are answered, and the same library
reads the answers. Method: the real program answers one line for each schema with the small model; an
answer that is cut by maxOutputTokens is no answer to read."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

import models

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = os.environ.get("TRANCHE", HERE.parents[1] / "build/tranche")
NODE = pathlib.Path(os.environ.get("SCHEMA_CLIENTS", "/nonexistent"))


@pytest.fixture(scope="module")
def zod(tmp_path_factory):
    """Runs zod.mjs where zod is installed: its lines."""
    script = tmp_path_factory.mktemp("zod") / "zod.mjs"
    shutil.copy(HERE / "zod.mjs", script)
    (script.parent / "node_modules").symlink_to(NODE / "node_modules")

    def run(*arguments, stdin=""):
        done = subprocess.run([NODE / "bin/node", script, *arguments], input=stdin, text=True,
                              capture_output=True, check=True, timeout=300)
        return [json.loads(line) for line in done.stdout.splitlines()]
    return run


@pytest.fixture(scope="module")
def answers(tmp_path_factory, zod):
    """The finish reason and text for each schema, by name."""
    folder = tmp_path_factory.mktemp("libraries")
    cases = [(name, schema) for name, schema, _ in models.all_cases()]
    cases += [(f"zod {name}", schema) for name, schema in zod()]
    lines = [json.dumps({"key": name, "request": {
        "contents": [{"role": "user", "parts": [{"text": "Answer with an example as JSON."}]}],
        "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema,
                             "maxOutputTokens": 400, "temperature": 1, "seed": 1}}})
        for name, schema in cases]
    (folder / "in.jsonl").write_text("".join(line + "\n" for line in lines))
    done = subprocess.run([PROGRAM, "run", "in.jsonl", "--output", "out.jsonl"], cwd=folder,
                          capture_output=True, text=True, timeout=1200, check=False,
                          env={"PATH": os.environ["PATH"], "HOME": str(folder)})
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == [name for name, _ in cases]
    found = {}
    for row in rows:
        candidate = row["response"]["candidates"][0]
        found[row["key"]] = (candidate["finishReason"], candidate["content"]["parts"][0]["text"])
    return found


def test_sixty_schemas_are_answered(answers):
    complete = [name for name, (finish, _) in answers.items() if finish == "STOP"]
    print(f"{len(complete)} of {len(answers)} answers are complete")
    assert len(answers) >= 60
    assert len(complete) >= 0.9 * len(answers)


def test_the_library_reads_its_answers(answers):
    for name, _, parse in models.all_cases():
        finish, text = answers[name]
        if finish == "STOP":
            parse(text)


def test_zod_reads_its_answers(answers, zod):
    texts = [[name.removeprefix("zod "), text] for name, (finish, text) in answers.items()
             if name.startswith("zod ") and finish == "STOP"]
    assert zod("parse", stdin="".join(json.dumps(t) + "\n" for t in texts)) == []
