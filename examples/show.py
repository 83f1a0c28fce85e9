#!/usr/bin/env python3
"""Shows an output file of `tranche run` as questions and answers.

usage: show.py OUTPUT.jsonl [--pick]     (--pick: the first row of each kind of key, and all errors)
"""
import json
import re
import sys
import textwrap


def last_text(request):
    contents = request.get("contents", [])
    turn = contents[-1] if isinstance(contents, list) and contents else contents
    parts = turn.get("parts", []) if isinstance(turn, dict) else []
    parts = parts if isinstance(parts, list) else [parts]
    return " ".join(part.get("text", "") for part in parts)


def answer(row):
    if row["status"]:
        return "error: " + row["status"]
    parts = row["response"]["candidates"][0]["content"].get("parts", [])
    return "".join(part.get("text", "") for part in parts).strip()


def shown(text, indent, lines):
    wrapped = textwrap.wrap(" ".join(text.split()), 92)
    if len(wrapped) > lines:
        wrapped = wrapped[:lines]
        wrapped[-1] += " ..."
    return ("\n" + " " * indent).join(wrapped)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    seen = set()
    with open(sys.argv[1], encoding="utf-8") as rows:
        for number, row in enumerate(map(json.loads, rows), 1):
            kind = re.sub(r"-.*", "", str(row.get("key", number)))
            if "--pick" in sys.argv and kind in seen and not row["status"]:
                continue
            seen.add(kind)
            print(f"\n[{row.get('key', f'line {number}')}] {shown(last_text(row['request']), 4, 2)}")
            print(f"  > {shown(answer(row), 4, 5)}")


main()
