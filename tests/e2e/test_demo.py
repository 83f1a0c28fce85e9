"""The demo batch on the embedded model: what a new user sees first, and what it promises."""
import json

import pytest

from conftest import Tranche, text_of


@pytest.fixture(scope="module")
def demo(root, tmp_path_factory):
    """The demo batch, run once for this file: (process, output rows, input lines)."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "home").mkdir()
    program = Tranche(folder)
    done = program("run", root / "examples" / "demo.jsonl", "--model", "gemini-2.5-flash",
                   "-o", "out.jsonl", "--state", "state", "--json")
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in (root / "examples" / "demo.jsonl").read_text().splitlines()]
    return done, program.rows("out.jsonl"), lines


def by_key(rows, prefix):
    found = {row["key"]: row for row in rows if str(row.get("key", "")).startswith(prefix)}
    assert found
    return found


def test_every_line_has_its_row_in_order(demo):
    _, rows, lines = demo
    assert len(rows) == len(lines)
    assert [row.get("key") for row in rows] == [line.get("key") for line in lines]


def test_the_bare_banana_bread_request_is_answered(demo):
    _, rows, lines = demo
    assert rows[0]["status"] == ""
    assert rows[0]["request"] == lines[0]
    assert len(text_of(rows[0])) > 40


def test_only_the_bad_line_fails_and_says_why(demo):
    _, rows, _ = demo
    bad = [row for row in rows if row["status"]]
    assert [row["key"] for row in bad] == ["bad-line"]
    assert bad[0]["status"].startswith("Bad Request: ")
    assert "role" in bad[0]["status"]
    assert bad[0]["response"] == {}


def test_enum_answers_are_one_of_the_enum(demo):
    _, rows, _ = demo
    for row in by_key(rows, "review-").values():
        allowed = row["request"]["generation_config"]["response_schema"]["enum"]
        assert text_of(row) in allowed


def test_json_answers_parse_and_match_their_schema(demo):
    _, rows, _ = demo
    for row in by_key(rows, "receipt-").values():
        got = json.loads(text_of(row))
        assert set(got) == {"vendor", "date", "total", "currency"}
        assert isinstance(got["total"], (int, float))
        assert got["currency"] in ("EUR", "USD", "GBP", "CHF")


def test_equal_deterministic_requests_get_equal_answers(demo):
    _, rows, _ = demo
    found = {row.get("key"): row for row in rows}
    assert text_of(found["product-3"]) == text_of(found["product-3-again"])
    assert text_of(found["review-1"]) == text_of(found["review-7"])


def test_requests_with_a_shared_instruction_report_cached_tokens(demo):
    _, rows, _ = demo
    cached = [row["response"]["usageMetadata"].get("cachedContentTokenCount", 0)
              for row in by_key(rows, "product-").values()]
    assert max(cached) > 0


def test_answers_say_which_model_really_answered(demo):
    _, rows, _ = demo
    versions = {row["response"]["modelVersion"] for row in rows if not row["status"]}
    assert len(versions) == 1
    assert "smollm2" in versions.pop().lower()
