"""The command line's contract with the fake model: what is printed where, exit codes, files, resume."""
import json
import os
import re
import shutil
import shlex
import signal
import subprocess
import time

import pytest

from conftest import request, text_of

FAKE = ("--model", "tranche-fake")
OK, SOME_FAILED, USAGE, INPUT, STOPPED, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
BAD = {"request": {"contents": [{"role": "tester", "parts": [{"text": "x"}]}]}}


def batch(tranche, name="in.jsonl", count=5):
    return tranche.write(name, *(request(f"line {i}") for i in range(count)))


def slow_config(tranche, name="slow.yaml", delay_ms=200, window=8):
    (tranche.folder / name).write_text(f"fake: {{ delay_ms: {delay_ms}, window: {window} }}\n")
    return name


def texts(rows):
    return [text_of(row) for row in rows]


def wait_until(condition, what, seconds=60):
    """Polls: the tests assert on states, never on how long they take."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


def partial_lines(tranche, name):
    path = tranche.folder / f"{name}.partial"
    return len(path.read_text().splitlines()) if path.exists() else 0


# ---- Output ----


def test_the_answers_come_in_input_order(tranche):
    (tranche.folder / "c.yaml").write_text("fake: { delay_ms: 1, jitter_ms: 40 }\n")
    batch(tranche, count=60)
    done = tranche("run", "in.jsonl", *FAKE, "--config", "c.yaml")
    assert done.returncode == OK, done.stderr
    assert texts(tranche.rows("in.out.jsonl")) == [f"echo: line {i}" for i in range(60)]


def test_the_default_output_stands_beside_the_input(tranche):
    (tranche.folder / "sub").mkdir()
    batch(tranche, "sub/a.jsonl")
    assert tranche("run", "sub/a.jsonl", *FAKE).returncode == OK
    assert sorted(p.name for p in (tranche.folder / "sub").iterdir()) == ["a.jsonl", "a.out.jsonl"]


def test_rows_have_the_documented_members(tranche):
    tranche.write("in.jsonl", request("hi"))
    tranche("run", "in.jsonl", *FAKE)
    (row,) = tranche.rows("in.out.jsonl")
    assert list(row) == ["status", "processed_time", "request", "response"]
    assert row["status"] == ""
    assert row["processed_time"].endswith("+00:00")
    assert row["response"]["candidates"][0]["finishReason"] == "STOP"
    assert row["response"]["usageMetadata"]["promptTokenCount"] > 0
    assert row["response"]["modelVersion"] == "tranche-fake"


def test_sibling_keys_pass_through_as_written(tranche):
    line = '{"key":"000123","n":1.50,"big":12345678901234567890,"o":{"b":1,"a":[null]},' \
           '"request":{"contents":[{"parts":[{"text":"x"}],"role":"user"}]}}'
    tranche.write("in.jsonl", line)
    tranche("run", "in.jsonl", *FAKE)
    text = (tranche.folder / "in.out.jsonl").read_text()
    assert text.startswith('{"key":"000123","n":1.50,"big":12345678901234567890,'
                           '"o":{"b":1,"a":[null]},"status":""')


def test_a_bare_request_and_snake_case_are_answered(tranche):
    tranche.write("in.jsonl", request("wrapped")["request"],
                  {"request": {"contents": {"parts": {"text": "one"}, "role": "user"},
                               "generation_config": {"max_output_tokens": 10}}})
    assert tranche("run", "in.jsonl", *FAKE).returncode == OK
    rows = tranche.rows("in.out.jsonl")
    assert texts(rows) == ["echo: wrapped", "echo: one"]
    assert "generation_config" in rows[1]["request"]


def test_empty_lines_are_skipped_but_keep_line_numbers(tranche):
    tranche.write("in.jsonl", "", request("a"), "  ", BAD, "")
    done = tranche("run", "in.jsonl", *FAKE, "--json")
    assert done.returncode == SOME_FAILED
    summary = json.loads(done.stdout)
    assert summary["lines"]["total"] == 2
    assert summary["failures"][0]["first"] == [{"file": "in.jsonl", "line": 4}]
    assert len(tranche.rows("in.out.jsonl")) == 2


def test_standard_input_and_output(tranche):
    lines = "".join(json.dumps(request(f"s {i}")) + "\n" for i in range(3))
    done = tranche("run", "-", *FAKE, stdin=lines)
    assert done.returncode == OK
    assert texts(map(json.loads, done.stdout.splitlines())) == [f"echo: s {i}" for i in range(3)]


def test_with_output_on_standard_output_the_summary_goes_to_standard_error(tranche):
    batch(tranche, count=2)
    done = tranche("run", "in.jsonl", "-o", "-", *FAKE, "--json", "--quiet")
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 2
    assert json.loads(done.stderr)["lines"]["succeeded"] == 2


def test_a_pattern_takes_its_files_in_order(tranche):
    (tranche.folder / "parts").mkdir()
    for name in ("b", "a", "c"):
        tranche.write(f"parts/{name}.jsonl", request(name))
    done = tranche("run", "parts/*.jsonl", "-o", "all.jsonl", *FAKE)
    assert done.returncode == OK
    assert texts(tranche.rows("all.jsonl")) == ["echo: a", "echo: b", "echo: c"]


def test_several_inputs_need_an_output(tranche):
    batch(tranche, "a.jsonl")
    batch(tranche, "b.jsonl")
    done = tranche("run", "a.jsonl", "b.jsonl", *FAKE)
    assert done.returncode == USAGE
    assert "-o OUTPUT" in done.stderr


def test_limit_runs_only_the_first_lines(tranche):
    batch(tranche, count=9)
    assert tranche("run", "in.jsonl", *FAKE, "--limit", "4").returncode == OK
    assert texts(tranche.rows("in.out.jsonl")) == [f"echo: line {i}" for i in range(4)]


def test_the_summary_as_json_balances(tranche):
    tranche.write("in.jsonl", request("a"), BAD, request("b"))
    done = tranche("run", "in.jsonl", *FAKE, "--json")
    assert done.returncode == SOME_FAILED
    summary = json.loads(done.stdout)
    assert summary["lines"] == {"total": 3, "succeeded": 2, "failed": 1, "not_run": 0, "pending": 0,
                                "duplicates": 0, "reused": 0, "kept": 0, "resumed": 0}
    assert summary["exit_code"] == SOME_FAILED
    assert summary["failures"][0]["code"] == "INVALID_ARGUMENT"
    assert summary["output"] == "in.out.jsonl"


def test_the_summary_for_people_names_failures_and_output(tranche):
    tranche.write("in.jsonl", request("a"), BAD)
    done = tranche("run", "in.jsonl", *FAKE)
    assert done.stdout == ""
    for part in ("finished", "answered  1", "failed    1", "line 2", "valid role", "in.out.jsonl"):
        assert part in done.stderr
    assert "\033" not in done.stderr


def test_a_model_with_a_price_shows_what_the_batch_cost(tranche):
    (tranche.folder / "c.yaml").write_text(
        "models: [{ name: priced, kind: fake, price: { input: 100, output: 200 } }]\n")
    batch(tranche, count=3)
    done = tranche("run", "in.jsonl", "--config", "c.yaml", "--model", "priced", "--json")
    cost = json.loads(done.stdout)["cost"]
    assert cost["priced"] and cost["online_usd"] == pytest.approx(2 * cost["batch_usd"])
    assert cost["batch_usd"] > 0
    assert "at the batch price" in done.stderr


def test_transient_faults_are_retried_until_they_pass(tranche):
    (tranche.folder / "c.yaml").write_text(
        "retry: { base_ms: 1 }\nfake: { faults: [{ every: 2, times: 2, code: UNAVAILABLE }] }\n")
    batch(tranche, count=8)
    done = tranche("run", "in.jsonl", *FAKE, "--config", "c.yaml", "--json")
    assert done.returncode == OK, done.stderr
    assert json.loads(done.stdout)["retries"] > 0


def test_an_existing_output_is_replaced_only_when_the_new_one_is_complete(tranche):
    batch(tranche)
    (tranche.folder / "in.out.jsonl").write_text("old\n")
    assert tranche("run", "in.jsonl", *FAKE, "--strict", "--overwrite").returncode == OK
    assert len(tranche.rows("in.out.jsonl")) == 5
    assert not (tranche.folder / "in.out.jsonl.partial").exists()


def test_failures_are_grouped_by_cause_and_the_next_command_is_said(tranche):
    """Two causes of one code are two groups, numbers apart; the command that is printed works as it stands."""
    lines = [request("down"), request("down"), request("fine")]
    lines += [{"request": {"contents": [{"role": "user", "parts": [{"text": "x"}]}] * n +
                           [{"role": "nobody", "parts": [{"text": "x"}]}]}} for n in (0, 1)]
    tranche.write("in put.jsonl", *lines, {"request": {"contents": []}})
    tranche.write("down.yaml", "fake:", "  faults:", "    - match: down", "      code: UNAVAILABLE",
                  "      message: The model is down for the night, and this sentence is far longer "
                  "than a terminal of eighty columns.")
    done = tranche("run", "in put.jsonl", *FAKE, "--config", "down.yaml", "--json")
    assert done.returncode == SOME_FAILED, done.stderr
    assert "eighty columns." in done.stderr
    failures = json.loads(done.stdout)["failures"]
    assert sorted((f["code"], f["count"]) for f in failures) == [
        ("INVALID_ARGUMENT", 1), ("INVALID_ARGUMENT", 2), ("UNAVAILABLE", 2)]
    next_command = done.stderr.splitlines()[-1].split("next      ")[1]
    assert next_command == json.loads(done.stdout)["next"]
    assert next_command == ("tranche run 'in put.jsonl' --retry-failed 'in put.out.jsonl' "
                            "--model tranche-fake --config down.yaml")
    again = tranche(*shlex.split(next_command)[1:])
    assert again.returncode == SOME_FAILED
    assert "1 of 6 answers are kept" in again.stderr


# ---- Estimates ----


def test_an_enum_bounds_the_estimate_by_its_longest_value(tranche):
    schema = {"type": "STRING", "enum": ["good", "terrible"]}
    tranche.write("in.jsonl", request("a", responseMimeType="text/x.enum", responseSchema=schema),
                  request("b", responseMimeType="application/json", responseSchema=schema),
                  request("c", responseMimeType="text/x.enum", responseSchema=schema, maxOutputTokens=2),
                  request("d", maxOutputTokens=7))
    summary = json.loads(tranche("validate", "in.jsonl", *FAKE, "--json").stdout)["summary"]
    assert summary["output_tokens_max"] == 8 + 10 + 2 + 7
    assert summary["output_tokens_unset"] == 0


def test_after_a_canary_the_estimate_has_its_lengths(tranche):
    (tranche.folder / "c.yaml").write_text(
        "models: [{ name: priced, kind: fake, price: { input: 100, output: 200 } }]\n")
    tranche.write("in.jsonl", *(request(f"two words {i}") for i in range(100)))  # echo: two words N
    options = ("--config", "c.yaml", "--model", "priced")
    before = json.loads(tranche("validate", "in.jsonl", *options, "--json").stdout)["summary"]
    assert "output_tokens" not in before and before["output_tokens_max"] == 25600
    assert tranche("run", "in.jsonl", *options, "-n", "10").returncode == OK
    after = json.loads(tranche("validate", "in.jsonl", *options, "--json").stdout)["summary"]
    assert after["measured_answers"] == 10 and after["output_tokens"] == 400
    assert after["batch_usd"] == pytest.approx(after["prompt_tokens"] * 50e-6 + 400 * 100e-6)
    assert after["batch_usd_max"] == before["batch_usd_max"] > after["batch_usd"]
    text = tranche("validate", "in.jsonl", *options).stdout
    assert "about 400 tokens, by the 10 answers of the last run of this input" in text


@pytest.mark.parametrize("name, code, says", [
    ("tranche-fak", USAGE, "did you mean tranche-fake?"),
    ("gemini-2.5-flsh", OK, "no known model is called gemini-2.5-flsh; did you mean gemini-2.5-flash;")])
def test_an_unknown_model_is_called_so_with_the_nearest_known_one(tranche, name, code, says):
    batch(tranche)
    done = tranche("validate", "in.jsonl", "--model", name)
    assert done.returncode == code
    assert says in done.stderr
    assert "no known model" not in tranche("validate", "in.jsonl", "--model", "gemini-2.5-flash").stderr


# ---- Results while it runs ----


def test_peek_shows_answers_behind_a_line_that_is_open(tranche):
    """The first line hangs, so the partial output has nothing; all others are answered, one fails."""
    lines = [{"key": f"k{i}", **request(f"line {i}")} for i in range(40)]
    lines[0] = {"key": "k0", **request("hang")}
    lines[7] = {"key": "k7", "request": {"contents": []}}
    tranche.write("in.jsonl", *lines)
    tranche.write("hang.yaml", "fake:", "  faults:", "    - match: hang", "      hang: true")
    command = ("run", "in.jsonl", *FAKE, "--config", "hang.yaml", "--state", "state", "--quiet")
    process = tranche.start(*command)
    try:
        for _ in range(600):
            seen = tranche("peek", "in.out.jsonl", "--state", "state")
            if len(seen.stdout.splitlines()) == 39:
                break
            assert process.poll() is None
            time.sleep(0.1)
        rows = [json.loads(line) for line in seen.stdout.splitlines()]
        assert [row["key"] for row in rows] == [f"k{i}" for i in range(1, 40)]
        assert text_of(rows[0]) == "echo: line 1" and rows[0]["request"] == lines[1]["request"]
        assert "INVALID_ARGUMENT" in rows[6]["status"]
        assert "39 of 40 lines are done" in seen.stderr
        assert (tranche.folder / "in.out.jsonl.partial").read_bytes() == b""
        assert len(tranche("peek", "in.out.jsonl.partial", "-n", "3", "--state",
                           "state").stdout.splitlines()) == 3
    finally:
        process.kill()
        process.communicate()
    assert tranche("peek", "./in.out.jsonl", "--state", "state").stdout == seen.stdout  # interrupted


def test_peek_says_that_there_is_nothing_to_see(tranche):
    batch(tranche)
    done = tranche("peek", "in.out.jsonl")
    assert done.returncode == INPUT and "no run" in done.stderr
    assert tranche("run", "in.jsonl", *FAKE).returncode == OK
    done = tranche("peek", "in.out.jsonl")
    assert done.returncode == INPUT and "read the file itself" in done.stderr
    assert done.stdout == ""


# ---- Refusals ----


@pytest.mark.parametrize("arguments, says", [
    (["run"], "INPUT is missing"),
    (["run", "in.jsonl", "--modle", "x"], "did you mean --model?"),
    (["run", "in.jsonl", "--limit", "0"], "at least 1"),
    (["run", "in.jsonl", "--limit", "-3"], "at least 1"),
    (["run", "in.jsonl", "--limit", "99999999999999999999"], "at least 1"),
    (["run", "in.jsonl", "--max-in-flight", "1e3"], "from 1 to 65536"),
    (["run", "in.jsonl", "--log-format", "xml"], "text|json"),
    (["run", "in.jsonl", "--model"], "needs a value"),
    (["run", "in.jsonl", "--strict=yes"], "takes no value"),
    (["run", "in.jsonl", "-x"], "unknown option -x"),
    (["run", "in.jsonl", "--model", "nobody"], "There is no model"),
    (["run", "in.jsonl", *FAKE, "-o", "in.jsonl"], "is the input"),
    (["run", "in.jsonl", *FAKE, "-o", "no/such/out"], "output's folder"),
    (["run", "in.jsonl", *FAKE, "--config", "bad.yaml"], 'did you mean "models"'),
    (["runn", "in.jsonl"], "did you mean `tranche run`"),
    (["in.jsonl"], "tranche run in.jsonl"),
    (["version", "extra"], "unexpected argument"),
    (["help", "exit-code"], "did you mean exit-codes"),
])
def test_a_usage_error_says_what_is_meant(tranche, arguments, says):
    batch(tranche)
    (tranche.folder / "bad.yaml").write_text("modles: []\n")
    done = tranche(*arguments)
    assert done.returncode == USAGE
    assert says in done.stderr
    assert done.stdout == ""
    assert not (tranche.folder / "in.out.jsonl").exists()


@pytest.mark.parametrize("arguments, says", [
    (["run", "none.jsonl"], "none.jsonl"),
    (["run", "none*.jsonl", "-o", "o"], "no file matches"),
    (["run", "home"], "is a folder"),
    (["run", "empty.jsonl"], "no lines"),
    (["validate", "none.jsonl"], "none.jsonl"),
])
def test_an_input_that_cannot_be_read_is_an_input_error(tranche, arguments, says):
    tranche.write("empty.jsonl", "", " ")
    done = tranche(*arguments, *FAKE)
    assert done.returncode == INPUT
    assert says in done.stderr


def test_strict_stops_before_any_work(tranche):
    tranche.write("in.jsonl", request("a"), BAD, "not json")
    done = tranche("run", "in.jsonl", *FAKE, "--strict")
    assert done.returncode == INPUT
    assert "in.jsonl:2:" in done.stderr and "in.jsonl:3:" in done.stderr
    assert "2 of 3 lines are bad" in done.stderr
    assert sorted(p.name for p in tranche.folder.glob("in*")) == ["in.jsonl"]


def test_a_missing_model_file_says_how_to_get_it(tranche):
    batch(tranche)
    done = tranche("run", "in.jsonl", "--model", "smollm2-135m-instruct",
                   TRANCHE_MODEL_DIR="/nonexistent")
    assert done.returncode == INTERNAL
    assert "scripts/setup" in done.stderr and "TRANCHE_MODEL_DIR" in done.stderr


def test_lines_max_of_the_configuration_is_kept(tranche):
    batch(tranche, count=5)
    (tranche.folder / "c.yaml").write_text("limits: { lines_max: 4 }\n")
    done = tranche("run", "in.jsonl", *FAKE, "--config", "c.yaml")
    assert done.returncode == INPUT
    assert "4" in done.stderr


# ---- validate ----


def test_validate_reports_every_fault_with_its_place(tranche):
    tranche.write("in.jsonl", request("fine"), BAD, "{oops")
    done = tranche("validate", "in.jsonl", *FAKE)
    assert done.returncode == INPUT
    faults = [line for line in done.stdout.splitlines() if line.startswith("in.jsonl:")]
    assert faults[0].startswith("in.jsonl:2: request.contents[0].role: ")
    assert faults[1].startswith("in.jsonl:3: ")
    assert "(byte " in faults[0]
    assert "2 of 3 lines are bad" in done.stdout


def test_validate_as_json_points_at_the_bytes(tranche):
    path = tranche.write("in.jsonl", request("fine"), "", BAD)
    done = tranche("validate", "in.jsonl", *FAKE, "--json")
    fault, end = map(json.loads, done.stdout.splitlines())
    assert list(fault) == ["file", "line", "offset", "line_offset", "path", "message", "remedy"]
    assert (fault["file"], fault["line"]) == ("in.jsonl", 3)
    assert path.read_bytes()[fault["offset"]:].startswith(b'"tester"')
    line = path.read_bytes().splitlines()[2]
    assert line[fault["line_offset"]:].startswith(b'"tester"')
    assert end["summary"]["lines"] == 2 and end["summary"]["bad"] == 1


def test_validate_of_a_good_input_estimates_and_runs_nothing(tranche):
    tranche.write("in.jsonl", *(request(f"words {i}", maxOutputTokens=7) for i in range(4)))
    done = tranche("validate", "in.jsonl", *FAKE, "--json")
    assert done.returncode == OK
    summary = json.loads(done.stdout)["summary"]
    assert summary["output_tokens_max"] == 28 and summary["output_tokens_unset"] == 0
    assert summary["prompt_tokens"] > 0 and summary["seconds"] is None
    assert not (tranche.folder / "in.out.jsonl").exists()


def test_validate_knows_the_time_after_a_first_run(tranche):
    batch(tranche, count=30)
    tranche("run", "in.jsonl", *FAKE, "--state", "s")
    done = tranche("validate", "in.jsonl", *FAKE, "--state", "s", "--json")
    assert json.loads(done.stdout)["summary"]["seconds"] > 0


def test_the_estimate_of_a_large_input_is_near_the_truth(tranche):
    tranche.write("in.jsonl", *(request("word " * (1 + i % 37)) for i in range(3000)))
    estimated = json.loads(tranche("validate", "in.jsonl", *FAKE, "--json").stdout)["summary"]
    done = json.loads(tranche("run", "in.jsonl", *FAKE, "--json").stdout)
    used = done["tokens"]["prompt"] + done["tokens"]["saved_by_duplicates"]
    assert not estimated["prompt_tokens_exact"]
    assert 0.7 * used < estimated["prompt_tokens"] < 1.4 * used


def test_a_dry_run_is_the_same_as_validate(tranche):
    tranche.write("in.jsonl", request("a"), BAD)
    dry = tranche("run", "in.jsonl", *FAKE, "--dry-run")
    validated = tranche("validate", "in.jsonl", *FAKE)
    assert (dry.returncode, dry.stdout) == (validated.returncode, validated.stdout)
    assert not (tranche.folder / "in.out.jsonl").exists()


# ---- Resume ----


def start_slow(tranche, count=200, arguments=()):
    """A run that takes a while, stopped by the caller when some lines are in its partial output."""
    batch(tranche, count=count)
    config = slow_config(tranche)
    process = tranche.start("run", "in.jsonl", *FAKE, "--config", config, *arguments)
    wait_until(lambda: partial_lines(tranche, "in.out.jsonl") >= 8 or process.poll() is not None,
               "the first lines")
    assert process.poll() is None, process.communicate()
    return process


def finish_fast(tranche, *arguments):
    slow_config(tranche, delay_ms=0)
    return tranche("run", "in.jsonl", *FAKE, "--config", "slow.yaml", *arguments)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_the_same_command_goes_on(tranche, number):
    process = start_slow(tranche)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert "run the same command again" in errors
    assert not (tranche.folder / "in.out.jsonl").exists()
    done = finish_fast(tranche, "--json")
    assert done.returncode == OK, done.stderr
    assert "resuming: " in done.stderr
    lines = json.loads(done.stdout)["lines"]
    assert 8 <= lines["resumed"] < 200 and lines["succeeded"] == 200
    assert texts(tranche.rows("in.out.jsonl")) == [f"echo: line {i}" for i in range(200)]


def test_after_kill_9_the_same_command_goes_on(tranche):
    process = start_slow(tranche)
    process.kill()
    process.communicate()
    done = finish_fast(tranche, "--json")
    assert done.returncode == OK, done.stderr
    assert json.loads(done.stdout)["lines"]["resumed"] >= 8
    assert texts(tranche.rows("in.out.jsonl")) == [f"echo: line {i}" for i in range(200)]


def test_a_changed_input_does_not_resume(tranche):
    process = start_slow(tranche)
    process.kill()
    process.communicate()
    tranche.write("in.jsonl", *(request(f"other {i}") for i in range(200)))
    done = finish_fast(tranche, "--json")
    assert json.loads(done.stdout)["lines"]["resumed"] == 0
    assert texts(tranche.rows("in.out.jsonl")) == [f"echo: other {i}" for i in range(200)]


def test_a_changed_setting_does_not_resume(tranche):
    process = start_slow(tranche)
    process.kill()
    process.communicate()
    done = finish_fast(tranche, "--json", "--limit", "100")
    assert json.loads(done.stdout)["lines"]["resumed"] == 0


def test_fresh_forgets_an_unfinished_run(tranche):
    process = start_slow(tranche)
    process.kill()
    process.communicate()
    done = finish_fast(tranche, "--json", "--fresh")
    assert json.loads(done.stdout)["lines"]["resumed"] == 0
    assert len(tranche.rows("in.out.jsonl")) == 200


@pytest.mark.parametrize("point", ["spool.commit", "spool.put", "sys.write"])
def test_a_full_disk_stops_with_the_reason_and_the_same_command_goes_on(tranche, point):
    batch(tranche, count=50)
    stops = 0
    for n in range(8):  # the n-th call of the point fails with ENOSPC
        stopped = tranche("run", "in.jsonl", *FAKE, TRANCHE_FAULT=f"{point}:{n}:28")
        if stopped.returncode == OK:  # what failed is kept only to save time
            assert len(tranche.rows("in.out.jsonl")) == 50
            (tranche.folder / "in.out.jsonl").unlink()
            continue
        assert stopped.returncode == STOPPED, stopped.stderr
        assert "No space left on device" in stopped.stderr
        assert "the same command goes on" in stopped.stderr
        assert not (tranche.folder / "in.out.jsonl").exists()
        stops += 1
    assert stops
    done = tranche("run", "in.jsonl", *FAKE)
    assert done.returncode == OK, done.stderr
    assert len(tranche.rows("in.out.jsonl")) == 50


def test_a_reader_that_goes_away_ends_the_run_without_a_fault(tranche):
    batch(tranche, count=3000)
    process = tranche.start("run", "in.jsonl", "-o", "-", *FAKE)
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=60) == INTERRUPTED, errors


def test_two_processes_do_not_run_one_job(tranche):
    process = start_slow(tranche)
    second = tranche("run", "in.jsonl", *FAKE, "--config", "slow.yaml")
    process.kill()
    process.communicate()
    assert second.returncode == STOPPED
    assert str(process.pid) in second.stderr


def test_a_finished_run_is_not_done_again(tranche):
    tranche.write("in.jsonl", request("a"), BAD)
    first = tranche("run", "in.jsonl", *FAKE, "--json")
    before = (tranche.folder / "in.out.jsonl").read_bytes()
    second = tranche("run", "in.jsonl", *FAKE, "--json")
    assert "already finished at " in second.stderr
    assert (second.returncode, second.stdout) == (first.returncode, first.stdout)
    assert (tranche.folder / "in.out.jsonl").read_bytes() == before


@pytest.mark.parametrize("how", ["gone", "changed", "fresh"])
def test_a_finished_run_is_done_again_when_its_output_is_not_there(tranche, how):
    batch(tranche)
    tranche("run", "in.jsonl", *FAKE)
    output = tranche.folder / "in.out.jsonl"
    if how == "gone":
        output.unlink()
    elif how == "changed":
        output.write_text("edited\n")
    option = {"gone": [], "changed": ["--overwrite"], "fresh": ["--fresh"]}[how]
    done = tranche("run", "in.jsonl", *FAKE, *option)
    assert done.returncode == OK
    assert "already finished" not in done.stderr
    assert len(tranche.rows("in.out.jsonl")) == 5


def test_a_run_that_finished_long_ago_is_simply_done_again(tranche):
    batch(tranche)
    tranche("run", "in.jsonl", *FAKE, "--state", "state")
    (mark,) = (tranche.folder / "state" / "runs").glob("*/done.json")
    long_ago = time.time() - 40 * 86400
    os.utime(mark, (long_ago, long_ago))
    done = tranche("run", "in.jsonl", *FAKE, "--state", "state", "--overwrite")
    assert done.returncode == OK, done.stderr
    assert "already finished" not in done.stderr
    assert mark.stat().st_mtime > long_ago


def test_two_jobs_do_not_write_one_output(tranche):
    process = start_slow(tranche)
    second = tranche("run", "in.jsonl", *FAKE, "--config", "slow.yaml", "--limit", "3")
    process.kill()
    process.communicate()
    assert second.returncode == STOPPED
    assert "in.out.jsonl" in second.stderr
    assert finish_fast(tranche, "--limit", "3").returncode == OK


def test_the_state_stays_in_its_folder_and_stays_small(tranche):
    batch(tranche, count=300)
    tranche("run", "in.jsonl", *FAKE, "--state", "deep/state")
    (run,) = (tranche.folder / "deep" / "state" / "runs").iterdir()
    assert sorted(p.name for p in run.iterdir()) == ["done.json", "lock"]
    assert not (tranche.folder / "home" / ".local").exists()


# ---- --retry-failed ----


def failing_batch(tranche):
    """Lines of which three fail for good, until the fault is taken out of the configuration."""
    tranche.write("in.jsonl", *(dict(request(f"{'flaky' if i % 4 == 3 else 'fine'} {i}"), key=i)
                                for i in range(12)))
    (tranche.folder / "c.yaml").write_text(
        "fake: { faults: [{ match: flaky, code: INVALID_ARGUMENT, message: scripted }] }\n")
    done = tranche("run", "in.jsonl", *FAKE, "--config", "c.yaml", "-o", "out.jsonl", "--json")
    assert done.returncode == SOME_FAILED
    assert json.loads(done.stdout)["lines"]["failed"] == 3
    (tranche.folder / "c.yaml").write_text("fake: {}\n")
    return tranche.rows("out.jsonl")


@pytest.mark.parametrize("with_input", [False, True])
def test_retry_failed_runs_only_what_failed(tranche, with_input):
    before = failing_batch(tranche)
    arguments = ["in.jsonl"] if with_input else []
    done = tranche("run", *arguments, "--retry-failed", "out.jsonl", *FAKE, "--config", "c.yaml",
                   "--json")
    assert done.returncode == OK, done.stderr
    summary = json.loads(done.stdout)
    assert summary["lines"]["kept"] == 9 and summary["lines"]["succeeded"] == 12
    after = tranche.rows("out.jsonl")
    assert [row["key"] for row in after] == list(range(12))
    for old, new in zip(before, after):
        if old["status"] == "":
            assert new == old
        else:
            assert new["status"] == "" and text_of(new).startswith("echo: flaky")


def test_retry_failed_with_another_output_leaves_the_earlier_one(tranche):
    before = failing_batch(tranche)
    done = tranche("run", "--retry-failed", "out.jsonl", "-o", "new.jsonl", *FAKE, "--config",
                   "c.yaml")
    assert done.returncode == OK, done.stderr
    assert tranche.rows("out.jsonl") == before
    assert all(row["status"] == "" for row in tranche.rows("new.jsonl"))


def test_retry_failed_runs_lines_that_were_edited_since(tranche):
    failing_batch(tranche)
    lines = [json.loads(line) for line in (tranche.folder / "in.jsonl").read_text().splitlines()]
    lines[0]["request"]["contents"][0]["parts"][0]["text"] = "edited"
    tranche.write("in.jsonl", *lines)
    tranche("run", "in.jsonl", "--retry-failed", "out.jsonl", *FAKE, "--config", "c.yaml")
    assert text_of(tranche.rows("out.jsonl")[0]) == "echo: edited"


@pytest.mark.parametrize("arguments", [[], ["in.jsonl"], ["in.jsonl", "-o", "./out.jsonl"]])
def test_retry_failed_never_cuts_the_earlier_output(tranche, arguments):
    before = failing_batch(tranche)
    done = tranche("run", *arguments, "--retry-failed", "out.jsonl", "--limit", "5", *FAKE)
    assert done.returncode == USAGE
    assert "-o" in done.stderr
    assert tranche.rows("out.jsonl") == before


def test_retry_failed_of_the_first_lines_goes_to_another_output(tranche):
    before = failing_batch(tranche)
    done = tranche("run", "--retry-failed", "out.jsonl", "--limit", "5", "-o", "new.jsonl", *FAKE)
    assert done.returncode == OK, done.stderr
    assert len(tranche.rows("new.jsonl")) == 5
    assert tranche.rows("out.jsonl") == before


@pytest.mark.parametrize("with_input", [False, True])
def test_retry_failed_keeps_answers_to_requests_that_would_be_refused_now(tranche, with_input):
    odd = {"key": 1, "request": {"contents": [{"role": "oracle", "parts": [{"text": "x"}]}]}}
    row = {**odd, "status": "", "processed_time": "2025-07-09T19:57:43.558+00:00",
           "response": {"candidates": [{"content": {"parts": [{"text": "paid for"}]}}]}}
    tranche.write("in.jsonl", odd)
    tranche.write("out.jsonl", row)
    done = tranche("run", *(["in.jsonl"] if with_input else []), "--retry-failed", "out.jsonl",
                   *FAKE)
    assert done.returncode == OK, done.stderr
    (after,) = tranche.rows("out.jsonl")
    assert after["status"] == "" and text_of(after) == "paid for" and after["key"] == 1


def test_retry_failed_runs_lines_again_whose_rows_are_damaged(tranche):
    failing_batch(tranche)
    path = tranche.folder / "out.jsonl"
    rows = path.read_text().splitlines()
    assert "\"index\":0}]" in rows[0]
    path.write_text("\n".join([rows[0].replace("\"index\":0}]", "\"index\":0]]"), *rows[1:]]) + "\n")
    done = tranche("run", "in.jsonl", "--retry-failed", "out.jsonl", *FAKE, "--config", "c.yaml",
                   "--json")
    assert done.returncode == OK, done.stderr
    assert json.loads(done.stdout)["lines"]["kept"] == 8
    assert texts(tranche.rows("out.jsonl"))[0] == "echo: fine 0"


def test_retry_failed_does_not_replace_a_row_that_is_too_long_to_be_read(tranche):
    failing_batch(tranche)
    path = tranche.folder / "out.jsonl"
    row = json.loads(path.read_text().splitlines()[0])
    row["response"]["candidates"][0]["content"]["parts"][0]["text"] = "x" * (33 << 20)
    tranche.write("out.jsonl", row)
    before = path.stat().st_size
    done = tranche("run", "--retry-failed", "out.jsonl", *FAKE)
    assert done.returncode == INPUT
    assert "-o" in done.stderr
    assert path.stat().st_size == before


def test_retry_failed_refuses_the_output_of_another_input(tranche):
    failing_batch(tranche)
    batch(tranche, "short.jsonl", count=3)
    done = tranche("run", "short.jsonl", "--retry-failed", "out.jsonl", *FAKE)
    assert done.returncode == INPUT
    assert "not the output of this input" in done.stderr


# ---- The rest ----


def test_log_lines_replace_the_display_and_can_be_json(tranche):
    tranche.write("in.jsonl", request("a"), BAD)
    done = tranche("run", "in.jsonl", *FAKE, "--log-format", "json")
    entries = [json.loads(line) for line in done.stderr.splitlines()]
    assert entries and all({"time", "level", "message"} <= set(entry) for entry in entries)
    assert any("finished" in entry["message"] for entry in entries)


def test_quiet_says_nothing_when_all_is_well(tranche):
    batch(tranche)
    done = tranche("run", "in.jsonl", *FAKE, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (OK, "", "")


def test_models_lists_built_in_and_configured_ones(tranche):
    (tranche.folder / "c.yaml").write_text(
        "default_model: mine\nmodels: [{ name: mine, kind: fake, about: my own }]\n")
    text = tranche("models", "--config", "c.yaml").stdout
    for part in ("mine", "my own", "tranche-fake", "gemini-*", "smollm2-135m-instruct"):
        assert part in text
    names = tranche("models", "--config", "c.yaml", "--names").stdout.splitlines()
    entries = list(map(json.loads,
                       tranche("models", "--config", "c.yaml", "--json").stdout.splitlines()))
    assert [entry["name"] for entry in entries] == names
    assert names[0] == "mine" and entries[0]["default"]


@pytest.mark.parametrize("arguments", [["--version"], ["version"]])
def test_version(tranche, arguments):
    assert tranche(*arguments).stdout.startswith("tranche ")


@pytest.mark.parametrize("arguments", [
    ["--help"], ["help"], ["run", "--help"], ["validate", "-h"], ["models", "--help"],
    ["version", "--help"], ["help", "run"], ["help", "exit-codes"], ["help", "config"],
    ["help", "environment"], ["help", "schema"], ["run", "none.jsonl", "--help"],
])
def test_help_goes_to_standard_output_in_80_columns(tranche, arguments):
    done = tranche(*arguments)
    assert done.returncode == OK and done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_help_of_every_command_fits_80_columns(tranche):
    overview = tranche("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    commands = re.findall("^  ([a-z]+)", overview, re.MULTILINE)
    assert {"run", "serve", "models"} <= set(commands)
    wide = [line for command in commands for line in tranche(command, "--help").stdout.splitlines() if len(line) > 80]
    assert not wide


def test_without_a_command_the_overview_is_an_error(tranche):
    done = tranche()
    assert done.returncode == USAGE and "Commands:" in done.stderr


def options_of(tranche, command):
    lines = tranche(command, "--help").stdout.split("Options:\n")[1].splitlines()
    return [word.rstrip(",") for line in lines for word in line.split()[:2]
            if word.startswith("--")]


def test_the_reference_names_every_option_exit_code_and_configuration_key(tranche, root):
    cli = (root / "docs/reference/cli.md").read_text()
    for command in ("run", "validate", "models", "version"):
        for option in options_of(tranche, command):
            assert f"`{option}" in cli or f", `{option}" in cli, f"{command} {option}"
    for line in tranche("help", "exit-codes").stdout.splitlines()[1:]:
        assert f"| {line.split()[0]} |" in cli
    config = (root / "docs/reference/config.md").read_text()
    for line in tranche("help", "config").stdout.split("Example:")[0].splitlines():
        if line.startswith("  ") and line[2] != " " and line.split()[0].endswith(":"):
            assert f"`{line.split()[0][:-1]}`" in config, line


def test_bash_completion_offers_what_help_lists(tranche):
    script = tranche.folder / "tranche.bash"
    script.write_text(tranche("completion", "bash").stdout)
    probe = f"source {script}; COMP_WORDS=(tranche run --max-i); COMP_CWORD=2; _tranche; " \
            "echo \"${COMPREPLY[@]}\"; COMP_WORDS=(tranche val); COMP_CWORD=1; _tranche; " \
            "echo \"${COMPREPLY[@]}\""
    done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["--max-in-flight", "validate"]


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_commands_options_and_values(tranche, tmp_path):
    script = tmp_path / "tranche.fish"
    script.write_text(tranche("completion", "fish").stdout)

    def completed(line):
        done = subprocess.run(["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"], check=True, text=True,
                              capture_output=True, env={**os.environ, "HOME": str(tmp_path)}, cwd=tmp_path)
        assert done.stderr == ""
        return [row.split("\t")[0] for row in done.stdout.splitlines()]

    (tmp_path / "in.jsonl").touch()
    assert "validate" in completed("tranche val")
    assert completed("tranche run --retry-f") == ["--retry-failed"]
    assert completed("tranche run --dialect ") == ["gemini", "openai"]
    assert "in.jsonl" in completed("tranche run in")
    assert "in.jsonl" not in completed("tranche jobs in")


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completion_parses(tranche):
    script = tranche.folder / "_tranche"
    script.write_text(tranche("completion", "zsh").stdout)
    subprocess.run(["zsh", "-n", script], check=True)


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_man_page_renders_without_a_warning(tranche):
    page = tranche("man").stdout
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True,
                          text=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert done.stderr == ""
    text = re.sub(".\x08", "", done.stdout)  # bold is a letter printed twice
    for part in ("--retry-failed", "EXIT STATUS", "CONFIGURATION", "TRANCHE_STATE"):
        assert part in text
