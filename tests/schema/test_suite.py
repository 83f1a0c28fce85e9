"""Goal: what the engine writes for a schema is valid, and nothing invalid can be written. Method: the
official JSON Schema Test Suite, drafts 2020-12 and 7; an independent validator judges the answers of the
small model and of one with random logits, at temperature 1.5; each invalid instance is fed token by
token. Without --whole, every sixth group with fewer answers."""
import collections

import jsonschema
import pytest

from probe import read, write
from suite import FOLLOWED, groups

VALIDATORS = {"draft2020-12": jsonschema.Draft202012Validator, "draft7": jsonschema.Draft7Validator}
PART = 6
# What a group may be refused for though its keywords are all followed: the beginning of the message.
EXCEPTIONS = (
    "The embedded engine cannot follow this keyword",  # not, uniqueItems
    "Two of the schemas may have a value in common",  # oneOf
    "More than 4 patterns hold",
    "is another document",
    "This dialect of JSON Schema is unknown",  # a $schema elsewhere, which is remote too
)


def chosen(whole):
    return [g for i, g in enumerate(groups()) if whole or i % PART == 0]


@pytest.fixture(scope="module")
def asked(probe, whole):
    """Each group with the engine's answer to its instances and 20 answers of random logits."""
    return [(g, probe.ask(schema=g.schema, texts=[write(t["data"]) for t in g.tests],
                          model="random", count=20, temperature=1.5, tokens=3000, prompt="x"))
            for g in chosen(whole)]


def test_the_suite_is_there():
    assert len(list(groups())) > 500


def test_our_own_check_agrees_with_the_suite(probe):
    wrong = []
    for group in groups():
        answer = probe.ask(schema=group.schema, values=[t["data"] for t in group.tests])
        for test, verdict in zip(group.tests, answer.get("values", [])):
            if test["valid"] != verdict:
                wrong.append((group.name, test["description"]))
    assert wrong == []


def test_only_what_cannot_be_followed_is_refused(asked):
    """Prints how many schemas are refused, by keyword."""
    counts, wrong = collections.Counter(), []
    for group, answer in asked:
        refused = answer.get("refused")
        if not refused:
            continue
        counts[refused["path"].rsplit(".", 1)[-1] or "(whole schema)"] += 1
        assert refused["message"] and refused["remedy"]
        possible = any(test["valid"] for test in group.tests)
        if (possible and group.keywords <= FOLLOWED
                and not any(e in refused["message"] for e in EXCEPTIONS)):
            wrong.append((group.name, refused))
    print(f"{sum(counts.values())} of {len(asked)} schemas are refused:",
          ", ".join(f"{k} {n}" for k, n in counts.most_common()))
    assert wrong == []


def test_no_invalid_instance_can_be_written(asked):
    wrong = [(group.name, test["description"])
             for group, answer in asked if "texts" in answer
             for test, possible in zip(group.tests, answer["texts"])
             if possible and not test["valid"]]
    assert wrong == []


def judge(group, answers, wrong):
    """The number of complete answers; those that are not valid are added to wrong."""
    validator = VALIDATORS[group.draft](group.schema)
    complete = 0
    for answer in answers:
        if "error" in answer:
            wrong.append((group.name, answer["error"]))
        elif answer["finish"] == "STOP":
            complete += 1
            try:
                valid = validator.is_valid(read(answer["text"]))
            except ValueError:
                valid = False
            if not valid:
                wrong.append((group.name, answer["text"][:200]))
    return complete


def test_answers_of_random_logits_are_valid_and_mostly_complete(asked):
    wrong, complete, total = [], 0, 0
    for group, answer in asked:
        if "answers" in answer:
            complete += judge(group, answer["answers"], wrong)
            total += len(answer["answers"])
    print(f"{complete} of {total} answers are complete")
    assert wrong == []
    assert total > 0 and complete >= 0.9 * total


def test_answers_of_the_small_model_are_valid(probe, whole):
    wrong, complete, total = [], 0, 0
    for number, group in enumerate(chosen(whole)):
        if not whole and number % 3:
            continue
        answer = probe.ask(schema=group.schema, model="embedded", count=20 if whole else 4,
                           temperature=1.5, tokens=200 if whole else 60,
                           prompt="Answer with an example as JSON.")
        if "answers" in answer:
            complete += judge(group, answer["answers"], wrong)
            total += len(answer["answers"])
    print(f"{complete} of {total} answers are complete")
    assert wrong == []
    assert complete > 0
