#!/usr/bin/env python3
"""usage: word_letters.py tokenizer.json > src/predict/local/encoder/word_letters.inc

Writes what the tokenizer of uncased BERT models makes of every character, as tables for wordpiece.c: asks
the Python package `tokenizers` (0.23 made the file that is there) for each code point. The tables follow that
package's version of Unicode, not Python's."""
import sys

from tokenizers import Tokenizer

HANGUL = range(0xAC00, 0xD7A4)  # syllables become letters by arithmetic
ALL = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]


def ranges(points):
    """Sorted numbers as [first, last] of those without holes."""
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def runs(single):
    """A map as (first, last, stride, delta): each stride-th of first to last becomes itself + delta."""
    points, out, i = sorted(single), [], 0
    while i < len(points):
        best, stride = 1, 1
        for step in (1, 2):
            n = 1
            while (i + n < len(points) and points[i + n] == points[i] + step * n and
                   single[points[i + n]] - points[i + n] == single[points[i]] - points[i]):
                n += 1
            if n > best:
                best, stride = n, step
        out.append((points[i], points[i + best - 1], stride, single[points[i]] - points[i]))
        i += best
    return out


def cell(v):
    if isinstance(v, int):
        return f"{v:#x}" if v >= 0 else f"-{-v:#x}"
    return "{ " + ", ".join(cell(x) for x in v) + " }"


def table(kind, name, rows, about):
    print(f"/* {about} */\nstatic const struct {kind} {name}[] = {{")
    cells = [cell(row) + "," for row in rows]
    line = "   "
    for text in cells:
        if len(line) + 1 + len(text) > 100:
            print(line)
            line = "   "
        line += " " + text
    print(line + "\n};")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    tokenizer = Tokenizer.from_file(sys.argv[1])
    becomes = {c: tokenizer.normalizer.normalize_str(f"a{chr(c)}b")[1:-1] for c in ALL}
    alone = {c for c, v in becomes.items() if len(v) >= 3 and v[0] == v[-1] == " "}
    letters = {c: v.strip() for c, v in becomes.items() if v.strip() and v.strip() != chr(c) and c not in HANGUL}
    breaks = {c for c in ALL if len(tokenizer.pre_tokenizer.pre_tokenize_str(f"a{chr(c)}b")) == 3}

    print("/* Made by tools/word_letters.py: see there. Ascending; all but ASCII's are looked up by halves. */")
    print("// clang-format off")
    table("letters", "dropped", ranges(c for c, v in becomes.items() if not v), "Characters that vanish.")
    table("letters", "spaces", ranges(c for c, v in becomes.items() if v == " "), "Spaces between words.")
    table("letters", "words", ranges(alone), "Characters that are words by themselves: Chinese.")
    table("letters", "marks", ranges(breaks), "Punctuation, each a word.")
    table("letter_run", "lower", runs({c: ord(v) for c, v in letters.items() if len(v) == 1}),
          "Lower case without accents.")
    table("letter_parts", "parts",
          [(c, [ord(x) for x in (v + "\0\0")[:3]]) for c, v in sorted(letters.items()) if len(v) > 1],
          "Characters that become several.")
    print("// clang-format on")


main()
