#!/usr/bin/env python3
"""Writes LINES batch requests of about 5 KB: a question about one of 400 documents.

The same number of lines gives the same bytes. Each request is deterministic (temperature 0) and none
repeats, as in a job that asks one question a document; EVERY (a number) makes each EVERY-th line a
repeat of the one a thousand lines before.
"""
import json
import random
import sys

DOCUMENTS = 400
DOCUMENT_BYTES = 4300
QUESTION_BYTES = 350
REPEAT_DISTANCE = 1000


def words(chance, size):
    """Text of about `size` bytes, of words that look like words."""
    text = []
    while size > 0:
        word = chance.choice(VOCABULARY)
        text.append(word)
        size -= len(word) + 1
    return " ".join(text)


def request(number, documents):
    chance = random.Random(number)
    question = f"Question {number}: {words(chance, QUESTION_BYTES)}?"
    return {
        "systemInstruction": {"parts": [{"text": "You answer questions about the document."}]},
        "contents": [
            {"role": "user", "parts": [{"text": documents[number % DOCUMENTS]}]},
            {"role": "model", "parts": [{"text": "I have read it."}]},
            {"role": "user", "parts": [{"text": question}]},
        ],
        "generationConfig": {"temperature": 0, "maxOutputTokens": 256},
    }


def main():
    lines = int(sys.argv[1])
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    documents = [words(random.Random(-i - 1), DOCUMENT_BYTES) for i in range(DOCUMENTS)]
    for i in range(lines):
        repeat = every and i % every == 0 and i >= REPEAT_DISTANCE
        body = request(i - REPEAT_DISTANCE if repeat else i, documents)
        print(json.dumps({"key": f"line-{i:07}", "request": body}))


LETTERS = "etaoinshrdlucmfwypvbgk"
CHANCE = random.Random(7)
VOCABULARY = [
    "".join(CHANCE.choice(LETTERS) for _ in range(CHANCE.randint(2, 10))) for _ in range(3000)
]

if __name__ == "__main__":
    main()
