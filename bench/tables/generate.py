"""usage: generate.py LINES FOLDER

Writes the same job three times: rows.csv, rows.jsonl (plain rows) and requests.jsonl."""
import csv
import json
import pathlib
import random
import sys

WORDS = "the room was clean but staff slow breakfast cold view over lake great and we will come back".split()


def main():
    count, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    draw = random.Random(7)
    with (open(folder / "rows.csv", "w", newline="") as table,
          open(folder / "rows.jsonl", "w") as rows, open(folder / "requests.jsonl", "w") as requests):
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["id", "text", "stars"])
        for i in range(count):
            text = " ".join(draw.choices(WORDS, k=30)) + f', "{i}"'
            row = [f"{i:07}", text, f"{draw.randrange(1, 6)}.0"]
            writer.writerow(row)
            rows.write(json.dumps(dict(zip(["id", "text", "stars"], row))) + "\n")
            requests.write(json.dumps({"id": row[0], "stars": row[2], "request": {
                "contents": [{"role": "user",
                              "parts": [{"text": f"Label the sentiment of: {text}"}]}],
                "generationConfig": {
                    "temperature": 0, "responseMimeType": "text/x.enum",
                    "responseSchema": {"type": "STRING",
                                       "enum": ["positive", "negative", "neutral"]}}}}) + "\n")


main()
