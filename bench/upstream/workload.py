#!/usr/bin/env python3
"""usage: workload.py LINES

Writes LINES batch requests of about 300 bytes with a short system instruction, each text another one.
The same number of lines gives the same bytes."""
import json
import random
import sys

SYSTEM = "Classify the review: positive, negative or neutral."
ADJECTIVES = "sturdy faint noisy bright heavy clumsy elegant dull clever warm".split()
NOUNS = "kettle lamp radio chair clock mirror blender heater camera drill".split()


def lines(count):
    for number in range(count):
        chance = random.Random(number)
        words = [chance.choice(w) for w in (ADJECTIVES, NOUNS, ADJECTIVES, NOUNS)]
        text = "Review {}: the {} {} came late, but it is less {} than my old {}.".format(number, *words)
        yield json.dumps({"key": f"r{number}", "request": {
            "contents": [{"role": "user", "parts": [{"text": text}]}],
            "systemInstruction": {"parts": [{"text": SYSTEM}]},
            "generationConfig": {"maxOutputTokens": 64}}}, separators=(",", ":"))


def messages_of(line):
    """The messages of that request as an OpenAI client sends them."""
    request = json.loads(line)["request"]
    return [{"role": "system", "content": request["systemInstruction"]["parts"][0]["text"]},
            {"role": "user", "content": request["contents"][0]["parts"][0]["text"]}]


def chat_body(line):
    return json.dumps({"model": "stub", "messages": messages_of(line), "max_tokens": 64},
                      separators=(",", ":"))


if __name__ == "__main__":
    for one in lines(int(sys.argv[1])):
        print(one)
