"""Goal: an answer is paid once. Method: runs with the fake model whose inputs, outputs and options change; the
summary says how many answers were reused, and the rows say so with their date."""
import json
import os
import random
import shutil
import stat
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
