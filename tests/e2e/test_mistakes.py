"""What people do wrong, and what their systems do to them: no file is harmed, and the way out is said."""
import json
import os
import resource
import signal
import subprocess
import time

import pytest

from conftest import PROGRAM, request, text_of

FAKE = ("--model", "tranche-fake")
OK, SOME_FAILED, USAGE, INPUT, STOPPED, INTERRUPTED = 0, 1, 2, 3, 4, 130


def batch(tranche, name="in.jsonl", count=5):
    return tranche.write(name, *(request(f"line {i}") for i in range(count)))


def run(tranche, *arguments, **options):
    """A run with changes to the process that the fixture does not offer."""
    return subprocess.run([PROGRAM, "run", *arguments, *FAKE], cwd=tranche.folder, text=True,
                          env=tranche.environment, timeout=300, check=False, **options)


# ---- The wrong file ----


def test_retry_failed_of_an_input_leaves_it_alone(tranche):
    before = batch(tranche).read_bytes()
    done = tranche("run", "--retry-failed", "in.jsonl", *FAKE)
    assert done.returncode == INPUT
    assert "in.jsonl is not an output" in done.stderr
    assert (tranche.folder / "in.jsonl").read_bytes() == before


def test_retry_failed_of_another_order_keeps_the_answers(tranche):
    batch(tranche)
    assert tranche("run", "in.jsonl", *FAKE, "-o", "out.jsonl").returncode == OK
    rows = (tranche.folder / "out.jsonl").read_text().splitlines()
    path = tranche.write("out.jsonl", rows[4], *rows[:4])
    before = path.read_bytes()
    done = tranche("run", "in.jsonl", "--retry-failed", "out.jsonl", *FAKE)
    assert done.returncode == INPUT
    assert "not the output of this input" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("content, says", [
    ('[{"request":{"contents":[]}}]\n', "jq -c '.[]'"),
    ('[\n{"request":{"contents":[]}}\n]\n', "jq -c '.[]'"),
    ('[{"request":{"contents":[]}},\n{"request":{"contents":[]}}]\n', "jq -c '.[]'"),
    ('{\n  "request": {}\n}\n', "jq -c ."),
    ("id,text\n1,good\n2,bad\n", "a table"),
    ("id\ttext\n1\tgood\n", "a table"),
    ('"id","text"\n"1","a ""b"""\n', "a table"),
    ("One prompt\nAnd another\n", "plain text"),
    (b"PAR1\x15\x04\x00\n\n", "Parquet"),
    (b"\x28\xb5\x2f\xfd\x04\x00\n", "not a whole zstd stream"),
    (b"PK\x03\x04\x14\x00\n", ".xlsx"),
])
@pytest.mark.parametrize("piped", [False, True])
def test_a_file_of_another_format_is_one_message_that_says_how_to_make_lines_of_it(
        tranche, content, says, piped):
    """Not one error a line, and nothing is written."""
    path = tranche.folder / "in.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for command in ("validate", "run"):
        with path.open("rb") as pipe:
            done = subprocess.run([PROGRAM, command, "-" if piped else "in.jsonl", *FAKE],
                                  cwd=tranche.folder, env=tranche.environment, stdin=pipe,
                                  capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == INPUT
        assert says in done.stderr
        assert len(done.stderr.splitlines()) == 1 and done.stdout == ""
        assert not list(tranche.folder.glob("*.out.jsonl*"))


@pytest.mark.parametrize("text, says", [
    ('{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n', "OpenAI"),
    ("no json\n", "Write one JSON object on the line"),
    ('["a"]\n{"request":{"contents":[]}}\n', "The line is JSON, but not an object"),
])
def test_a_line_of_another_format_is_told_how_to_become_one_of_ours(tranche, text, says):
    (tranche.folder / "in.jsonl").write_text(text)
    done = tranche("validate", "in.jsonl", *FAKE)
    assert done.returncode == INPUT
    assert says in done.stdout


# ---- The wrong output ----


def test_an_output_that_the_command_did_not_write_is_kept(tranche):
    batch(tranche)
    for name in ("notes.jsonl", "in.out.jsonl"):
        (tranche.folder / name).write_text("my only copy\n")
        done = tranche("run", "in.jsonl", *FAKE, "-o", name)
        assert done.returncode == USAGE
        assert "--overwrite" in done.stderr and name in done.stderr
        assert (tranche.folder / name).read_text() == "my only copy\n"
        assert not (tranche.folder / f"{name}.partial").exists()
        assert tranche("run", "in.jsonl", *FAKE, "-o", name, "--overwrite").returncode == OK
        assert len(tranche.rows(name)) == 5


def test_an_output_that_was_edited_or_is_of_another_model_is_kept(tranche):
    batch(tranche)
    tranche.write("tranche.yaml", "models:", "  - name: other", "    kind: fake")
    other = ("run", "in.jsonl", "--config", "tranche.yaml", "--model", "other")
    assert tranche("run", "in.jsonl", *FAKE).returncode == OK
    output = tranche.folder / "in.out.jsonl"
    before = output.read_text()
    assert tranche(*other).returncode == USAGE
    assert output.read_text() == before
    output.write_text(before + "a note of mine\n")
    assert tranche("run", "in.jsonl", *FAKE).returncode == USAGE
    assert output.read_text().endswith("a note of mine\n")


def test_the_same_command_replaces_what_it_wrote(tranche):
    """After a canary, after an edit of the input, with --fresh."""
    batch(tranche)
    (tranche.folder / "in.out.jsonl").touch()  # an empty file holds nothing
    assert tranche("run", "in.jsonl", *FAKE, "-n", "2").returncode == OK
    assert tranche("run", "in.jsonl", *FAKE).returncode == OK
    assert len(tranche.rows("in.out.jsonl")) == 5
    assert tranche("run", "in.jsonl", *FAKE, "--fresh").returncode == OK
    batch(tranche, count=6)
    assert tranche("run", "./in.jsonl", *FAKE).returncode == OK
    assert len(tranche.rows("in.out.jsonl")) == 6


@pytest.mark.parametrize("name", ["a.csv", "a.Parquet", "a.xlsx"])
def test_an_output_that_is_named_like_a_table_is_refused(tranche, name):
    batch(tranche)
    done = tranche("run", "in.jsonl", *FAKE, "-o", name)
    assert done.returncode == USAGE and ".jsonl" in done.stderr
    assert not (tranche.folder / name).exists()


def test_utf_16_is_recognised_with_and_without_its_mark(tranche):
    for encoding in ("utf-16", "utf-16-le"):
        (tranche.folder / "in.jsonl").write_bytes(json.dumps(request("x")).encode(encoding))
        done = tranche("validate", "in.jsonl", *FAKE)
        assert done.returncode == INPUT
        assert "UTF-16" in done.stdout


def test_a_link_as_output_stays_a_link(tranche):
    batch(tranche, count=1)
    (tranche.folder / "data").mkdir()
    (tranche.folder / "data" / "real.jsonl").write_text("old\n")
    (tranche.folder / "link.jsonl").symlink_to("data/real.jsonl")
    assert tranche("run", "in.jsonl", *FAKE, "-o", "link.jsonl", "--overwrite").returncode == OK
    assert (tranche.folder / "link.jsonl").is_symlink()
    assert text_of(tranche.rows("data/real.jsonl")[0]) == "echo: line 0"


def test_a_link_to_a_file_that_is_not_there_yet_makes_it(tranche):
    batch(tranche, count=1)
    (tranche.folder / "data").mkdir()
    (tranche.folder / "data" / "second.jsonl").symlink_to("real.jsonl")
    (tranche.folder / "link.jsonl").symlink_to("data/second.jsonl")
    assert tranche("run", "in.jsonl", *FAKE, "-o", "link.jsonl").returncode == OK
    assert (tranche.folder / "link.jsonl").is_symlink() and (tranche.folder / "data" / "second.jsonl").is_symlink()
    assert text_of(tranche.rows("data/real.jsonl")[0]) == "echo: line 0"
    (tranche.folder / "ring.jsonl").symlink_to("ring.jsonl")
    assert tranche("run", "in.jsonl", *FAKE, "-o", "ring.jsonl").returncode != OK


# ---- The wrong surroundings ----


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_streams_do_not_leak_into_files(tranche, closed):
    batch(tranche)

    def close():
        for fd in closed:
            os.close(fd)

    done = run(tranche, "in.jsonl", "--json", "--state", "state", preexec_fn=close)
    assert done.returncode == OK
    assert [text_of(row) for row in tranche.rows("in.out.jsonl")] == \
        [f"echo: line {i}" for i in range(5)]
    assert tranche("run", "in.jsonl", *FAKE, "--state", "state").returncode == OK


def test_a_limit_of_file_size_stops_like_a_full_disk(tranche):
    batch(tranche, count=300)
    limit = (40_000, resource.RLIM_INFINITY)
    stopped = run(tranche, "in.jsonl", capture_output=True,
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert stopped.returncode == STOPPED, stopped.stderr
    assert "the same command" in stopped.stderr
    assert not (tranche.folder / "in.out.jsonl").exists()
    assert tranche("run", "in.jsonl", *FAKE).returncode == OK
    assert len(tranche.rows("in.out.jsonl")) == 300


def test_a_damaged_state_is_told_and_fresh_begins_anew(tranche):
    batch(tranche, count=300)
    stopped = run(tranche, "in.jsonl", "--state", "state", capture_output=True,
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                        (60_000, resource.RLIM_INFINITY)))
    assert stopped.returncode == STOPPED
    (spool,) = (tranche.folder / "state" / "runs").glob("*/spool.db")
    spool.write_bytes(b"no database" * 1000)
    for log in spool.parent.glob("spool.db-*"):
        log.unlink()
    damaged = tranche("run", "in.jsonl", *FAKE, "--state", "state")
    assert damaged.returncode == STOPPED
    assert "--fresh" in damaged.stderr
    assert tranche("run", "in.jsonl", *FAKE, "--state", "state", "--fresh").returncode == OK
    assert len(tranche.rows("in.out.jsonl")) == 300


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_the_caller_ignores_does_not_stop_the_run(tranche, number):
    batch(tranche, count=40)
    (tranche.folder / "slow.yaml").write_text("fake: { delay_ms: 50, window: 4 }\n")
    process = tranche.start("run", "in.jsonl", *FAKE, "--config", "slow.yaml",
                            preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    partial = tranche.folder / "in.out.jsonl.partial"
    end = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) == OK
    process.communicate()
    assert len(tranche.rows("in.out.jsonl")) == 40
