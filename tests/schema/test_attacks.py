"""Goal: no schema takes much time or memory, and what it took is given back. Method: more than 200 schemas
that try; two answers each, greedy and at temperature 1.5, of random logits. Steps are limited, not time;
processor time is held against ten times what a quiet machine takes, so that load does not matter."""
import pytest

from attacks import all_attacks

COMPILE_US = 10 * 200_000  # of processor time
STEP_US = 10 * 50_000  # of one round of both answers
PEAK_KIB = 64 * 1024  # growth of the resident set
KEPT_KIB = 32 * 1024  # after all was freed; what the allocator holds is not a case's
ATTACKS = list(all_attacks())
PART = 4


def test_there_are_two_hundred():
    assert len({name for name, _ in ATTACKS}) == len(ATTACKS) >= 200


@pytest.fixture(scope="module")
def asked(probe, whole):
    found = []
    for number, (name, schema) in enumerate(ATTACKS):
        if not whole and number % PART:
            continue
        for temperature in (0, 1.5):
            answer = probe.ask(schema=schema, model="random", count=1, temperature=temperature,
                               tokens=200, prompt="x", fresh=True)
            found.append((f"{name}, temperature {temperature}", answer))
            if "refused" in answer:
                break
    return found


@pytest.mark.parametrize("what, most", [
    ("compile_us", COMPILE_US), ("step_us", STEP_US), ("peak_kib", PEAK_KIB), ("kept_kib", KEPT_KIB)])
def test_time_and_memory_are_bounded(asked, what, most):
    assert [(name, answer[what]) for name, answer in asked if answer.get(what, 0) > most] == []


def test_an_answer_ends_well_or_says_which_limit_it_met(asked):
    """Prints how many ended each way."""
    errors = [(name, a["error"]) for name, answer in asked for a in answer.get("answers", [])
              if "error" in a]
    refused = [name for name, answer in asked if "refused" in answer]
    print(f"{len(asked)} questions, {len(refused)} refused, {len(errors)} ended by a limit")
    assert [e for e in errors if not e[1].startswith("The schema ")] == []


def test_a_usual_schema_is_answered_after_all_of_them(probe, asked):
    answer = probe.ask(schema={"type": "object", "properties": {"a": {"enum": ["x", "y"]}},
                               "required": ["a"]},
                       model="random", count=5, temperature=1, tokens=50, prompt="x")
    assert len(asked) > 0
    assert all(a["text"] in ('{"a": "x"}', '{"a": "y"}') for a in answer["answers"])
