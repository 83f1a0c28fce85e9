"""Goal: an answer is paid once. Method: runs with the fake model whose inputs, outputs and options change; the
summary says how many answers were reused, and the rows say so with their date."""
import http.server
import json
import os
import random
import shutil
import stat
import threading
import time

import pytest

from conftest import request, text_of

FAKE = ("--model", "tranche-fake")
OK, SOME_FAILED, USAGE = 0, 1, 2

BAD = {"request": {"contents": [{"role": "nobody", "parts": [{"text": "x"}]}]}}


def write(tranche, numbers, **config):
    tranche.write("in.jsonl", *({"n": i, **request(f"question {i}", **config)} for i in numbers))


def run(tranche, *options, output="out.jsonl", code=OK, **more):
    done = tranche("run", "in.jsonl", "-o", output, "--overwrite", *FAKE, "--json", *options, **more)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def reused(summary):
    return summary["lines"]["reused"]


def kept(tranche, *options):
    done = tranche("runs", "--json", *options)
    assert done.returncode == OK, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_rows(tranche, numbers, output="out.jsonl"):
    rows = tranche.rows(output)
    assert [row["n"] for row in rows] == list(numbers)
    assert [text_of(row) for row in rows] == [f"echo: question {i}" for i in numbers]


def test_a_rerun_after_the_output_was_deleted_renders_again_and_costs_nothing(tranche):
    write(tranche, range(50))
    first = run(tranche)
    before = tranche.rows("out.jsonl")
    (tranche.folder / "out.jsonl").unlink()
    again = run(tranche)
    assert reused(first) == 0 and reused(again) == 50
    assert again["tokens"]["prompt"] == again["tokens"]["generated"] == 0
    assert again["tokens"]["saved_by_reuse"] == first["tokens"]["prompt"] + \
        first["tokens"]["generated"]
    assert [row["response"] for row in tranche.rows("out.jsonl")] == \
        [row["response"] for row in before]


@pytest.mark.parametrize("change, new", [
    (lambda n: n + [100], 1), (lambda n: n[:7], 0), (lambda n: n[::-1], 0),
    (lambda n: [100] + n[1:], 1), (lambda n: n[:5] + [100, 101] + n[5:], 2)],
    ids=["grew", "shrank", "reordered", "edited", "inserted"])
@pytest.mark.parametrize("config", [{}, {"temperature": 0}], ids=["sampled", "deterministic"])
def test_a_changed_file_asks_only_what_is_new(tranche, change, new, config):
    numbers = list(range(30))
    write(tranche, numbers, **config)
    run(tranche)
    changed = change(numbers)
    write(tranche, changed, **config)
    assert reused(run(tranche)) == len(changed) - new
    assert_rows(tranche, changed)


def test_a_canarys_answers_are_used_by_the_whole_run(tranche):
    write(tranche, range(40))
    run(tranche, "--limit", "20", output="canary.jsonl")
    assert reused(run(tranche)) == 20


def test_a_reused_row_says_when_it_was_answered_and_others_do_not(tranche):
    write(tranche, range(3))
    run(tranche)
    made = [row["processed_time"] for row in tranche.rows("out.jsonl")]
    assert not any("reused_from" in row for row in tranche.rows("out.jsonl"))
    write(tranche, range(4))
    done = tranche("run", "in.jsonl", "-o", "out.jsonl", "--overwrite", *FAKE)
    assert "(3 reused from earlier runs)" in done.stderr
    rows = tranche.rows("out.jsonl")
    assert [row.get("reused_from") for row in rows] == made + [None]
    assert all(row["processed_time"] >= row.get("reused_from", "") for row in rows)


def test_an_output_of_reused_rows_is_an_input_and_can_be_retried(tranche):
    write(tranche, range(3))
    run(tranche)
    run(tranche, output="again.jsonl")
    done = tranche("run", "--retry-failed", "again.jsonl", *FAKE)
    assert done.returncode == OK, done.stderr
    assert len(tranche.rows("again.jsonl")) == 3


def test_ten_equal_lines_that_are_sampled_stay_ten_answers(tranche):
    tranche.write("in.jsonl", *[request("same", temperature=1)] * 10)
    run(tranche)
    made = [row["response"]["createTime"] for row in tranche.rows("out.jsonl")]
    assert [one["answers"] for one in kept(tranche)] == [10]
    tranche.write("in.jsonl", *[request("same", temperature=1)] * 12)
    assert reused(run(tranche)) == 10
    again = [row["response"]["createTime"] for row in tranche.rows("out.jsonl")]
    assert again[:10] == made
    assert ["reused_from" in row for row in tranche.rows("out.jsonl")] == [True] * 10 + [False] * 2


def test_spelling_does_not_count_and_content_does(tranche):
    write(tranche, range(2), maxOutputTokens=50)
    run(tranche)
    body = {"generation_config": {"max_output_tokens": "50"},
            "contents": {"parts": {"text": "question 0"}}}
    other = request("question 1", maxOutputTokens=51)
    tranche.write("in.jsonl", {"n": 0, "request": body}, {"n": 1, **other})
    assert reused(run(tranche)) == 1


def test_another_model_does_not_get_the_answers(tranche):
    (tranche.folder / "c.yaml").write_text("models: [{ name: second, kind: fake }]\n")
    write(tranche, range(3))
    run(tranche)
    done = tranche("run", "in.jsonl", "-o", "b.jsonl", "-c", "c.yaml", "-m", "second", "--json")
    assert reused(json.loads(done.stdout)) == 0


def test_errors_are_never_kept(tranche):
    (tranche.folder / "c.yaml").write_text(
        "fake: { faults: [{ match: question 1, code: INVALID_ARGUMENT }] }\n")
    tranche.write("in.jsonl", BAD, *({"n": i, **request(f"question {i}")} for i in range(3)))
    run(tranche, "-c", "c.yaml", code=SOME_FAILED)
    assert [one["answers"] for one in kept(tranche)] == [2]
    again = run(tranche, output="b.jsonl", code=SOME_FAILED)
    assert reused(again) == 2 and again["lines"]["succeeded"] == 3


def test_fresh_asks_everything_and_its_answers_are_the_newest(tranche):
    write(tranche, range(5))
    run(tranche)
    assert reused(run(tranche, "--fresh")) == 0
    fresh = [row["response"]["responseId"] for row in tranche.rows("out.jsonl")]
    assert reused(run(tranche, output="b.jsonl")) == 5
    assert [row["response"]["responseId"] for row in tranche.rows("b.jsonl")] == fresh


def test_max_age_leaves_older_answers_alone(tranche):
    write(tranche, range(3))
    run(tranche)
    time.sleep(1.1)
    assert reused(run(tranche, "--max-age", "1s", "--no-keep", output="b.jsonl")) == 0
    assert reused(run(tranche, "--max-age", "1d", output="c.jsonl")) == 3
    done = tranche("run", "in.jsonl", *FAKE, "-o", "d.jsonl", "--max-age", "soon")
    assert done.returncode == USAGE and "30d, 12h, 45m or 90s" in done.stderr


@pytest.mark.parametrize("how", ["option", "configuration"])
def test_nothing_is_kept_when_that_is_asked_for(tranche, how):
    (tranche.folder / "c.yaml").write_text("keep: 0\n")
    write(tranche, range(3))
    options = ["--no-keep"] if how == "option" else ["-c", "c.yaml"]
    run(tranche, *options)
    assert kept(tranche) == []
    assert reused(run(tranche, *options, output="b.jsonl")) == 0
    state = tranche.folder / "home/.local/state/tranche"
    assert not [p for p in state.rglob("*") if p.suffix in (".db", ".keys", ".tmp")]


def test_keep_0_removes_what_was_kept(tranche):
    (tranche.folder / "c.yaml").write_text("keep: 0\n")
    write(tranche, range(3))
    run(tranche)
    assert len(kept(tranche)) == 1
    run(tranche, "-c", "c.yaml", output="b.jsonl")
    assert kept(tranche) == []


def test_the_oldest_answers_go_first_when_they_are_too_large(tranche):
    (tranche.folder / "c.yaml").write_text("keep: 300000\n")
    for i in range(6):
        write(tranche, range(100 * i, 100 * i + 100))
        run(tranche, "-c", "c.yaml", output=f"{i}.jsonl")
    runs = kept(tranche)
    assert 0 < len(runs) < 6 and sum(one["bytes"] for one in runs) <= 300000
    names = [os.path.basename(one["run"]["output"]) for one in runs]
    assert names == [f"{i}.jsonl" for i in range(5, 5 - len(runs), -1)]


def test_what_is_kept_is_readable_by_its_owner_only(tranche):
    write(tranche, range(3))
    run(tranche)
    folder = tranche.folder / "home/.local/state/tranche/kept"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}


def test_runs_lists_what_is_kept_and_removes_it(tranche):
    assert "0 answers are kept" in tranche("runs").stdout
    write(tranche, range(3))
    run(tranche)
    text = tranche("runs").stdout
    assert "tranche-fake" in text and "out.jsonl" in text and "3 answers are kept" in text
    assert len(kept(tranche, "--older-than", "1d")) == 1
    assert tranche("runs", "--older-than", "week").returncode == USAGE
    done = tranche("runs", "--all")
    assert "answers of 1 run are removed" in done.stderr and "0 answers" in done.stdout
    assert reused(run(tranche, output="b.jsonl")) == 0


def test_a_run_that_reads_standard_input_keeps_its_answers_too(tranche):
    text = json.dumps(request("once")) + "\n"
    first = tranche("run", "-", *FAKE, "--json", stdin=text)
    again = tranche("run", "-", *FAKE, "--json", stdin=text)
    assert "reused_from" not in first.stdout and "reused_from" in again.stdout


def test_a_request_that_names_a_file_is_asked_again(tranche):
    part = {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/x.png"}}
    body = {"contents": [{"role": "user", "parts": [{"text": "see"}, part]}]}
    tranche.write("in.jsonl", {"request": body}, request("plain"))
    done = tranche("run", "in.jsonl", "-o", "a.jsonl", *FAKE)
    again = tranche("run", "in.jsonl", "-o", "b.jsonl", *FAKE, "--json")
    if done.returncode == OK:
        assert reused(json.loads(again.stdout)) == 1


def test_answers_that_were_removed_while_a_run_uses_them_stay_readable(tranche):
    (tranche.folder / "c.yaml").write_text(
        "fake: { faults: [{ match: question 39, hang: true }] }\nlimits: { drain_ms: 10 }\n")
    write(tranche, range(30))
    run(tranche)
    write(tranche, range(40))
    process = tranche.start("run", "in.jsonl", "-o", "b.jsonl", *FAKE, "-c", "c.yaml", "-q")
    until = time.monotonic() + 60
    partial = tranche.folder / "b.jsonl.partial"
    while time.monotonic() < until and not (partial.exists() and partial.stat().st_size > 1000):
        time.sleep(0.02)
    process.kill()
    process.wait()
    tranche("runs", "--all")
    assert run(tranche, output="b.jsonl")["lines"]["succeeded"] == 40
    assert_rows(tranche, range(40), "b.jsonl")


def test_runs_at_the_same_time_share_what_is_kept(tranche):
    write(tranche, range(200))
    outputs = [f"{i}.jsonl" for i in range(4)]
    started = [tranche.start("run", "in.jsonl", "-o", output, *FAKE, "-q") for output in outputs]
    assert [process.wait(timeout=120) for process in started] == [OK] * 4
    for output in outputs:
        assert_rows(tranche, range(200), output)
    assert reused(run(tranche, output="last.jsonl")) == 200


def test_killed_at_random_instants_no_answer_is_lost_and_none_is_wrong(tranche):
    """Short form of a sweep: a growing input, runs killed anywhere from the start to the pruning."""
    chance = random.Random(7)
    (tranche.folder / "c.yaml").write_text("keep: 400000\n")
    for trial in range(12):
        numbers = range(40 * (trial + 1))
        write(tranche, numbers)
        for _ in range(3):
            process = tranche.start("run", "in.jsonl", "-o", "out.jsonl", "--overwrite", *FAKE, "-q",
                                    "-c", "c.yaml")
            time.sleep(chance.uniform(0.0, 0.08))
            process.kill()
            process.wait()
        run(tranche, "-c", "c.yaml")
        assert_rows(tranche, numbers)
    state = tranche.folder / "home/.local/state/tranche/kept"
    assert not list(state.glob("*.tmp"))


@pytest.mark.parametrize("point", ["sys.rename", "kept.link", "sys.sync", "origins.link"])
def test_a_failing_call_costs_at_most_the_keeping(tranche, point):
    for n in range(8):
        numbers = range(10 + n)
        write(tranche, numbers)
        done = tranche("run", "in.jsonl", "-o", "out.jsonl", "--overwrite", *FAKE, "-q",
                       TRANCHE_FAULT=f"{point}:{n}:28")
        if done.returncode != OK:
            run(tranche)
        assert_rows(tranche, numbers)


def test_a_torn_or_foreign_index_is_only_a_miss(tranche):
    write(tranche, range(5))
    run(tranche)
    folder = tranche.folder / "home/.local/state/tranche/kept"
    keys = next(folder.glob("*.keys"))
    whole = keys.read_bytes()
    for text in (whole[:-1], whole[:20], b"", whole[:8] + b"\xff" + whole[9:]):
        keys.write_bytes(text)
        assert reused(run(tranche, "--no-keep", output="b.jsonl")) == 0
        shutil.rmtree(tranche.folder / "home/.local/state/tranche/runs")
        (tranche.folder / "b.jsonl").unlink()
    keys.write_bytes(whole)
    assert reused(run(tranche, output="c.jsonl")) == 5


# ---- Runs that were interrupted ----

HANGS = "fake: { faults: [{ match: question 39, hang: true }] }\nlimits: { drain_ms: 10 }\n"


def interrupted(tranche, *arguments, output, rows, stdin=None):
    """Starts a run whose line with "question 39" never ends, and kills it when `rows` are durable."""
    (tranche.folder / "c.yaml").write_text(HANGS)
    process = tranche.start("run", *arguments, "-o", output, *FAKE, "-c", "c.yaml", "-q",
                            stdin=None if stdin is None else open(stdin, encoding="utf-8"))
    until = time.monotonic() + 60
    while time.monotonic() < until:
        seen = tranche("peek", output)
        if seen.returncode == OK and len(seen.stdout.splitlines()) >= rows:
            break
        if process.poll() is not None:
            raise AssertionError(f"the run ended by itself with {process.returncode}: {process.stderr.read()}")
        time.sleep(0.05)
    else:
        process.kill()
        raise AssertionError(seen.stdout + seen.stderr + process.communicate()[1])
    process.kill()
    process.communicate()
    return seen


def begun(tranche, name, stdin=None):
    """What the interrupted run says when it is taken up again, up to its work; then it is killed."""
    process = tranche.start("run", name, "-o", "out.jsonl", *FAKE, "-c", "c.yaml", "--log-format", "text",
                            stdin=None if stdin is None else open(stdin, encoding="utf-8"))
    said = ""
    while line := process.stderr.readline():
        said += line
        if "lines, tranche-fake" in line:
            break
    process.kill()
    process.communicate()
    return said


def settle(tranche, name):
    """As if the file had been written a while ago: it is recognised only then."""
    at = time.time() - 60
    os.utime(tranche.folder / name, (at, at))
    time.sleep(3.2)  # its change of state is now


@pytest.mark.parametrize("killed_with_temperature", [None, 0])
def test_an_interrupted_run_whose_input_grew_asks_only_what_is_new(tranche, killed_with_temperature):
    config = {} if killed_with_temperature is None else {"temperature": 0}
    write(tranche, range(40), **config)
    interrupted(tranche, "in.jsonl", output="out.jsonl", rows=39)
    write(tranche, range(60), **config)
    done = tranche("run", "in.jsonl", "-o", "out.jsonl", *FAKE, "--json")
    assert done.returncode == OK, done.stderr
    assert "39 answers of an interrupted run of this command can be used again" in done.stderr
    assert reused(json.loads(done.stdout)) == 39
    assert_rows(tranche, range(60))
    assert sorted(one["answers"] for one in kept(tranche)) == [21, 39]


def test_an_interrupted_run_that_was_adopted_begins_anew_and_pays_nothing_twice(tranche):
    write(tranche, range(40))
    interrupted(tranche, "in.jsonl", output="out.jsonl", rows=39)
    write(tranche, range(41))
    assert reused(run(tranche, output="other.jsonl")) == 39
    write(tranche, range(40))
    assert reused(run(tranche)) == 40
    assert_rows(tranche, range(40))


def test_a_run_with_another_output_is_not_adopted_when_it_has_answers_that_cannot_be_found(tranche):
    part = {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/x.png"}}
    media = {"request": {"contents": [{"role": "user", "parts": [{"text": "see"}, part]}]}}
    tranche.write("in.jsonl", media, *({"n": i, **request(f"question {i}")} for i in range(40)))
    interrupted(tranche, "in.jsonl", output="out.jsonl", rows=40)
    assert reused(run(tranche, output="other.jsonl")) == 0
    assert "resuming: 40 of 41 lines were done" in begun(tranche, "in.jsonl")
    done = tranche("run", "in.jsonl", "-o", "out.jsonl", "--limit", "40", *FAKE, "--json")
    assert reused(json.loads(done.stdout)) == 39


def test_a_run_that_still_goes_on_is_not_adopted(tranche):
    (tranche.folder / "c.yaml").write_text(HANGS)
    write(tranche, range(40))
    shutil.copy(tranche.folder / "in.jsonl", tranche.folder / "first.jsonl")
    process = tranche.start("run", "in.jsonl", "-o", "slow.jsonl", *FAKE, "-c", "c.yaml", "-q")
    until = time.monotonic() + 60
    while time.monotonic() < until and len(tranche("peek", "slow.jsonl").stdout.splitlines()) < 39:
        time.sleep(0.05)
    write(tranche, range(50))
    assert reused(run(tranche)) == 0
    assert len(tranche("peek", "slow.jsonl").stdout.splitlines()) == 39
    process.kill()
    process.communicate()


@pytest.mark.parametrize("options", [("--fresh",), ("--no-keep",), ("-c", "keep0.yaml")])
def test_interrupted_runs_are_left_alone_when_nothing_may_be_kept(tranche, options):
    (tranche.folder / "keep0.yaml").write_text("keep: 0\n")
    write(tranche, range(40))
    interrupted(tranche, "in.jsonl", output="out.jsonl", rows=39)
    write(tranche, range(41))
    assert reused(run(tranche, *options, output="b.jsonl")) == 0
    write(tranche, range(40))
    assert len(tranche("peek", "out.jsonl").stdout.splitlines()) == 39
    assert "resuming: 39 of 40 lines were done" in begun(tranche, "in.jsonl")


# ---- Input that is known ----

def test_a_run_that_is_taken_up_again_does_not_read_its_input_and_shows_the_same_findings(tranche):
    odd = {"n": 41, **request("odd")}
    odd["generationConfig"] = {"temperature": 1}
    tranche.write("in.jsonl", BAD, odd, *({"n": i, **request(f"question {i}")} for i in range(40)))
    settle(tranche, "in.jsonl")
    interrupted(tranche, "in.jsonl", output="out.jsonl", rows=41)
    state = tranche.folder / "home/.local/state/tranche"
    assert len(list((state / "inputs").iterdir())) == 1
    for _ in range(2):
        said = begun(tranche, "in.jsonl")
        for told in ("it is not read again", "resuming: 41 of 42 lines were done", "1 of 42 lines are bad",
                     "1 of 42 lines have warnings", "stands beside request"):
            assert told in said, said
    path = tranche.folder / "in.jsonl"
    text = path.read_bytes()
    path.write_bytes(text)
    assert "it is not read again" not in begun(tranche, "in.jsonl")
    tranche.write("other.jsonl", request("x"))
    (tranche.folder / "c.yaml").write_text("fake: {}\n")
    for name in ("in.jsonl", "other.jsonl"):
        assert tranche("run", name, "-o", name + ".out", *FAKE).returncode in (OK, SOME_FAILED)
    assert len(list((state / "inputs").iterdir())) == 1


def test_a_file_that_changes_without_a_sign_is_noticed_and_read_again(tranche):
    write(tranche, range(40))
    settle(tranche, "in.jsonl")
    interrupted(tranche, "in.jsonl", output="out.jsonl", rows=39)
    path = tranche.folder / "in.jsonl"
    before = path.stat()
    text = path.read_bytes().replace(b"question 7", b"question X")
    with path.open("r+b") as file:
        file.write(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = tranche("run", "in.jsonl", "-o", "out.jsonl", *FAKE)
    if done.returncode != OK:
        assert "changed since it was checked" in done.stderr
        done = tranche("run", "in.jsonl", "-o", "out.jsonl", *FAKE)
    assert done.returncode == OK, done.stderr
    assert text_of(tranche.rows("out.jsonl")[7]) == "echo: question X"


# ---- Tables ----

def write_table(tranche, numbers):
    rows = "".join(f"{i},question {i}\n" for i in numbers)
    (tranche.folder / "in.csv").write_text("id,text\n" + rows)


ASK = ("--prompt", "{text}")


def test_answers_of_a_table_are_used_again_and_marked_when_that_is_asked_for(tranche):
    write_table(tranche, range(5))
    first = tranche("run", "in.csv", "-o", "a.csv", *ASK, *FAKE, "--json")
    assert first.returncode == OK, first.stderr
    write_table(tranche, range(7))
    done = tranche("run", "in.csv", "-o", "b.csv", *ASK, *FAKE, "--json", "--mark-reused")
    assert reused(json.loads(done.stdout)) == 5
    lines = (tranche.folder / "b.csv").read_text().splitlines()
    assert lines[0] == "id,text,answer,error,tokens,reused"
    marks = [line.split(",")[5] for line in lines[1:]]
    assert all(mark.startswith("20") and "T" in mark for mark in marks[:5]) and marks[5:] == ["", ""]
    plain = tranche("run", "in.csv", "-o", "c.csv", *ASK, *FAKE, "--json")
    assert reused(json.loads(plain.stdout)) == 7
    assert (tranche.folder / "c.csv").read_text().splitlines()[0] == "id,text,answer,error,tokens"
    done = tranche("run", "in.csv", "-o", "d.jsonl", *ASK, *FAKE, "--mark-reused")
    assert done.returncode == OK, done.stderr
    assert [bool(row["reused"]) for row in tranche.rows("d.jsonl")] == [True] * 7


def test_a_table_and_a_request_with_the_same_meaning_have_the_same_answer(tranche):
    write_table(tranche, range(3))
    assert tranche("run", "in.csv", "-o", "a.csv", *ASK, *FAKE).returncode == OK
    write(tranche, range(3))
    assert reused(run(tranche)) == 3


def test_mark_reused_goes_with_a_table(tranche):
    write(tranche, range(1))
    done = tranche("run", "in.jsonl", *FAKE, "--mark-reused")
    assert done.returncode == USAGE and "--prompt" in done.stderr


# ---- Peek ----

def test_peek_shows_the_rows_of_a_table_while_and_after_it_runs(tranche):
    write_table(tranche, range(41))
    (tranche.folder / "prompt.txt").write_text("{text}")
    seen = interrupted(tranche, "in.csv", "--prompt", "@prompt.txt", "--keep-columns", "id", "--where",
                       "id != '3'", output="out.csv", rows=40)
    lines = seen.stdout.splitlines()
    assert lines[0] == "id,answer,error,tokens" and lines[1].startswith("0,echo: question 0,,")
    assert [line.split(",")[0] for line in lines[1:]] == [str(i) for i in range(41) if i not in (3, 39)]
    assert tranche("peek", "out.csv").stdout == seen.stdout  # interrupted
    assert "39 of 40 lines are done" in tranche("peek", "out.csv").stderr
    (tranche.folder / "prompt.txt").write_text("Else: {text}")
    done = tranche("peek", "out.csv")
    assert done.returncode != OK and "was changed since it began" in done.stderr


def test_peek_shows_the_rows_of_a_run_that_reads_standard_input(tranche):
    write(tranche, range(41))
    seen = interrupted(tranche, "-", output="out.jsonl", rows=40, stdin=tranche.folder / "in.jsonl")
    (tranche.folder / "in.jsonl").unlink()
    rows = [json.loads(line) for line in tranche("peek", "out.jsonl").stdout.splitlines()]
    assert [row["n"] for row in rows] == [i for i in range(41) if i != 39] and seen.stdout
    state = tranche.folder / "home/.local/state/tranche"
    assert len(list(state.glob("runs/*/input/0"))) == 1
    write(tranche, range(41))
    assert "resuming: 40 of 41" in begun(tranche, "-", stdin=tranche.folder / "in.jsonl")
    text = (tranche.folder / "in.jsonl").read_text()
    done = tranche("run", "-", "-o", "out.jsonl", *FAKE, stdin=text)  # adopts the other one
    assert done.returncode == OK, done.stderr
    assert not list(state.glob("runs/*/input")) and not list(state.glob("inputs/*"))


def test_peek_shows_the_rows_of_a_parquet_file(tranche):
    write_table(tranche, range(41))
    assert tranche("table", "copy", "in.csv", "in.parquet").returncode == OK
    seen = interrupted(tranche, "in.parquet", *ASK, output="out.parquet", rows=41)
    lines = seen.stdout.splitlines()
    assert lines[0] == "id,text,answer,error,tokens" and len(lines) == 41
    assert tranche("peek", "out.parquet").stdout == seen.stdout


# ---- What a server says of its model ----

class Reporting:
    """A server with OpenAI's API that says which file it has under the name of its model."""

    def __init__(self):
        self.root, self.asked, self.answered = "/models/first", 0, 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self, body):
                text = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):  # pylint: disable=invalid-name
                outer.asked += 1
                models = [] if outer.root is None else [
                    {"id": "other", "root": "x"}, {"id": "m", "created": time.time(), "root": outer.root}]
                self.reply({"object": "list", "data": models})

            def do_POST(self):  # pylint: disable=invalid-name
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.answered += 1
                message = {"role": "assistant", "content": "yes"}
                self.reply({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
                            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})

            def log_message(self, *arguments):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_a_server_that_says_it_has_another_model_is_asked_again(tranche):
    there = Reporting()
    write(tranche, range(3))

    def ask(output):
        done = tranche("run", "in.jsonl", "-o", output, "--upstream", there.url, "-m", "m", "--json")
        assert done.returncode == OK, done.stderr
        return reused(json.loads(done.stdout))
    assert [ask("a.jsonl"), ask("b.jsonl"), there.answered] == [0, 3, 3]
    there.root = "/models/second"
    assert [ask("c.jsonl"), ask("d.jsonl"), there.answered] == [0, 3, 6]
    there.root = None  # it says nothing now: what it said last counts
    assert ask("e.jsonl") == 3
    there.root = "/models/first"
    assert [ask("f.jsonl"), there.answered] == [3, 6]
    there.server.shutdown()
    there.server.server_close()
