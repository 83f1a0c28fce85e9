"""`tranche show` and `tranche diff`: reading answers, and comparing them, in every form that rows have."""
import json

import pytest

from conftest import request

OK, DIFFERENT, USAGE, INPUT = 0, 1, 2, 3


def row(key, question, answer, finish="STOP", **more):
    return {"key": key, "status": "", "processed_time": "2026-11-30T00:00:00Z",
            "request": {"contents": [{"role": "user", "parts": [{"text": question}]}]},
            "response": {"candidates": [{"content": {"role": "model", "parts": [{"text": answer}]},
                                         "finishReason": finish}],
                         "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2}}, **more}


def failure(key, question):
    error = {"error": {"code": 429, "message": "Too many.", "status": "RESOURCE_EXHAUSTED"}}
    return {**row(key, question, ""), "status": "Too Many Requests: " + json.dumps(error), "response": {}}


@pytest.fixture(name="output")
def fixture_output(tranche):
    talk = row("c", "x", "A\tB\nC\x1b[2J")
    talk["request"] = {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [
        {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}},
                                   {"text": "Who?"}]},
        {"role": "model", "parts": [{"text": "Me."}]},
        {"role": "user", "parts": [{"text": "And\nnow?"}]}]}
    tranche.write("out.jsonl", row("a", "One?", "1"), failure("b", "Two?"), talk,
                  row("d", "Long?", "so", finish="MAX_TOKENS"))
    return "out.jsonl"


def test_a_conversation_has_all_turns_and_steers_no_terminal(tranche, output):
    done = tranche("show", output)
    assert done.returncode == OK, done.stderr
    assert done.stdout == """\
[a]
  user   One?
  model  1

[b]
  user   Two?
  error  RESOURCE_EXHAUSTED: Too many.

[c]
  system Be brief.
  user   (image/png)Who?
  model  Me.
  user   And
         now?
  model  A?B
         C?[2J

[d] MAX_TOKENS
  user   Long?
  model  so
"""


@pytest.mark.parametrize("filters, keys", [
    (["--status", "failed"], "b"), (["--status", "ok"], "acd"), (["-s", "RESOURCE_EXHAUSTED"], "b"),
    (["--status", "MAX_TOKENS"], "d"), (["--match", "Two"], "b"), (["--match", "Too many"], "b"),
    (["--key", "[cd]"], ""), (["--key", "c*"], "c"), (["-n", "2"], "ab"),
    (["--status", "ok", "-n", "1", "--match", "now"], "c")])
def test_rows_are_chosen_by_status_text_and_key(tranche, output, filters, keys):
    done = tranche("show", output, *filters, "--format", "tsv")
    assert done.returncode == OK, done.stderr
    assert "".join(line.split("\t")[0] for line in done.stdout.splitlines()[1:]) == keys
    assert f"{len(keys)} of 4 rows" in done.stderr


def test_a_table_and_tsv_have_one_line_a_row(tranche, output):
    table = tranche("show", output, "--format", "table").stdout.splitlines()
    assert len(table) == 5 and table[0].split()[:3] == ["KEY", "STATUS", "FINISH"]
    assert "RESOURCE_EXHAUSTED" in table[2]
    lines = tranche("show", output, "--format", "tsv").stdout.splitlines()
    assert lines[0].split("\t")[5:] == ["PROMPT", "ANSWER"]
    assert lines[3].split("\t") == ["c", "OK", "STOP", "5", "2", "And now?", "A B C?[2J"]


def test_the_forms_of_other_services_are_read(tranche):
    response = row("k", "q", "hello")["response"]
    tranche.write("gemini.jsonl", {"key": "k", "response": response},
                  {"key": "l", "error": {"code": 400, "message": "No.", "status": "INVALID_ARGUMENT"}},
                  response)
    lines = tranche("show", "gemini.jsonl", "--format", "tsv").stdout.splitlines()[1:]
    assert [line.split("\t")[:2] + line.split("\t")[6:] for line in lines] == [
        ["k", "OK", "hello"], ["l", "INVALID_ARGUMENT", "INVALID_ARGUMENT: No."],
        ["line 3", "OK", "hello"]]


def test_what_is_no_output_is_said(tranche):
    tranche.write("in.jsonl", request("x"))
    for arguments in (("show", "in.jsonl"), ("diff", "in.jsonl", "in.jsonl")):
        done = tranche(*arguments)
        assert done.returncode == INPUT and "in.jsonl:1" in done.stderr
    assert tranche("show", "nothing.jsonl").returncode == INPUT


def test_diff_finds_changes_by_key_whatever_the_order(tranche):
    tranche.write("a.jsonl", *(row(f"k{i}", "?", "yes" if i % 2 else "no") for i in range(10)),
                  failure("f", "?"), row("only-a", "?", "no"))
    rows = [row(f"k{i}", "?", "yes" if i % 2 or i == 4 else "no") for i in range(10)]
    tranche.write("b.jsonl", *reversed(rows), row("f", "?", "no"), row("only-b", "?", "no"))
    done = tranche("diff", "a.jsonl", "b.jsonl")
    assert done.returncode == DIFFERENT, done.stderr
    assert done.stdout == """\
answered in both  10
  same            9 (90%)
  changed         1
failed            1 in A alone, 0 in B alone, 0 in both
without a partner 1 in A, 1 in B

labels that changed
       1  no -> yes

[k4]
  A: no
  B: yes
"""
    assert tranche("diff", "a.jsonl", "b.jsonl", "--format", "tsv").stdout == "KEY\tA\tB\nk4\tno\tyes\n"
    assert tranche("diff", "b.jsonl", "b.jsonl").returncode == OK


def test_diff_says_how_far_each_field_agrees(tranche):
    def answers(name, pick):
        tranche.write(name, *({k: v for k, v in row("", f"q{i % 3}", json.dumps(
            {"topic": "food", "stars": pick(i), "note": f"{i}"})).items() if k != "key"}
            for i in range(8)))
    answers("a.jsonl", lambda i: 5)
    answers("b.jsonl", lambda i: 4 if i < 2 else 5)
    done = tranche("diff", "a.jsonl", "b.jsonl", "-n", "1")
    assert done.returncode == DIFFERENT
    assert "100%  topic  (8 of 8)" in done.stdout
    assert "75%  stars  (6 of 8)" in done.stdout
    assert "[line 1]" in done.stdout and "(1 more; -n shows them)" in done.stdout
