"""A table in, a table out: what an analyst does with `tranche run FILE.csv --prompt`."""
import csv
import ctypes
import gzip
import io
import json
import random
import subprocess
import time

import pytest

from conftest import PROGRAM

FAKE = ("--model", "tranche-fake")
OK, SOME_FAILED, USAGE, INPUT = 0, 1, 2, 3
REVIEWS = '''id,text,stars
007,"I love it, really",1.10
008,"It broke
after a ""day""",2
009,So so,3
'''


def put(tranche, name, content):
    path = tranche.folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(tranche, name):
    return (tranche.folder / name).read_bytes().decode()


def ask(tranche, *arguments, prompt="{text}", **options):
    return tranche("run", *arguments, "--prompt", prompt, *FAKE, **options)


# ---- The first try ----


def test_a_csv_comes_back_with_its_answers(tranche):
    put(tranche, "reviews.csv", REVIEWS)
    done = ask(tranche, "reviews.csv", "--enum", "positive,negative", "-o", "labels.csv",
               prompt="Label: {text}")
    assert done.returncode == OK, done.stderr
    assert read(tranche, "labels.csv") == '''id,text,stars,answer,error,tokens
007,"I love it, really",1.10,positive,,6
008,"It broke
after a ""day""",2,positive,,7
009,So so,3,positive,,4
'''


def test_the_embedded_model_labels_a_csv(tranche):
    put(tranche, "reviews.csv", REVIEWS)
    done = tranche("run", "reviews.csv", "--prompt", "Label the sentiment of: {text}", "--enum",
                   "positive,negative,neutral", "--param", "temperature=0", "-o", "labels.csv")
    assert done.returncode == OK, done.stderr
    rows = list(csv.DictReader(io.StringIO(read(tranche, "labels.csv"))))
    assert [row["id"] for row in rows] == ["007", "008", "009"]
    assert all(row["answer"] in ("positive", "negative", "neutral") for row in rows)
    assert all(row["error"] == "" and int(row["tokens"]) > 0 for row in rows)


def test_without_a_name_the_output_stands_beside_the_input_in_its_form(tranche):
    put(tranche, "a.csv", "text\nx\n")
    put(tranche, "b.tsv", "id\ttext\n1\tx, y\n")
    put(tranche, "c.jsonl", '{"text": "x", "n": 1.10}\n')
    for name in ("a.csv", "b.tsv", "c.jsonl"):
        assert ask(tranche, name).returncode == OK
    assert read(tranche, "a.out.csv") == "text,answer,error,tokens\nx,echo: x,,3\n"
    assert read(tranche, "b.out.tsv").splitlines()[1].startswith("1\tx, y\techo: x, y\t\t")
    assert json.loads(read(tranche, "c.out.jsonl"))["answer"] == "echo: x"
    assert '"n":1.10' in read(tranche, "c.out.jsonl")


def test_a_dry_run_shows_three_prompts_and_the_estimate(tranche):
    put(tranche, "reviews.csv", REVIEWS + "010,fourth,1\n")
    done = ask(tranche, "reviews.csv", "--dry-run", prompt="Label: {text}{?stars} ({stars}){/}")
    assert done.returncode == OK, done.stderr
    assert done.stdout.startswith('reviews.csv:2: prompt:\n  Label: I love it, really (1.10)\n'
                                  'reviews.csv:3: prompt:\n  Label: It broke\n  after a "day" (2)\n'
                                  'reviews.csv:5: prompt:\n  Label: So so (3)\n4 lines, all good\n')
    assert "fourth" not in done.stdout and "tokens" in done.stdout
    rows = [json.loads(line) for line in
            ask(tranche, "reviews.csv", "--dry-run", "--json").stdout.splitlines()]
    assert rows[0] == {"file": "reviews.csv", "line": 2, "prompt": "I love it, really"}
    assert rows[3]["summary"]["lines"] == 4
    assert not (tranche.folder / "reviews.out.csv").exists()


def test_where_and_limit_give_a_first_look(tranche):
    put(tranche, "reviews.csv", REVIEWS)
    done = ask(tranche, "reviews.csv", "--where", "stars >= 2", "--limit", "1", "--keep-columns",
               "id", "-o", "look.csv")
    assert done.returncode == OK, done.stderr
    assert read(tranche, "look.csv") == ('id,answer,error,tokens\n008,"echo: It broke\n'
                                         'after a ""day""",,11\n')


def test_a_where_that_chooses_no_row_ends_the_run(tranche):
    put(tranche, "reviews.csv", REVIEWS)
    done = ask(tranche, "reviews.csv", "--where", "stars > 5")
    assert (done.returncode, done.stderr) == (INPUT, "error: --where chooses no row of the input\n")


def test_texts_come_from_files_and_a_schema_makes_columns(tranche):
    put(tranche, "reviews.csv", "text\nx\n")
    put(tranche, "prompt.txt", "Rate\n{text}\n")
    put(tranche, "schema.json", json.dumps({
        "type": "object", "properties": {"label": {"enum": ["good", "bad"]},
                                         "score": {"type": "integer"}},
        "required": ["label", "score"]}))
    done = tranche("run", "reviews.csv", "--prompt", "@prompt.txt", "--system", "Be short.",
                   "--schema", "@schema.json", "--param", "temperature=0")
    assert done.returncode == OK, done.stderr
    head, row = list(csv.reader(io.StringIO(read(tranche, "reviews.out.csv"))))
    assert head == ["text", "label", "score", "error", "tokens"]
    assert row[1] in ("good", "bad") and row[2].lstrip("-").isdigit() and row[3] == ""


def test_an_answer_that_is_no_object_is_an_error_of_its_row(tranche):
    put(tranche, "reviews.csv", "text\nx\n")
    put(tranche, "fake.yaml", "fake: { answers: [{ match: x, text: I think it is good }] }\n")
    done = ask(tranche, "reviews.csv", "--config", "fake.yaml", "--schema",
               '{"type":"object","properties":{"label":{"type":"string"}}}')
    assert done.returncode == OK, done.stderr
    row = read(tranche, "reviews.out.csv").splitlines()[1]
    assert row.startswith("x,,the answer is not a JSON object (STOP),")


# ---- Forms ----


def test_semicolons_a_mark_and_crlf_of_excel_come_back(tranche):
    put(tranche, "a.csv", "\ufeffid;text\r\n007;ä, b\r\n")
    assert ask(tranche, "a.csv").returncode == OK
    assert read(tranche, "a.out.csv") == ("\ufeffid;text;answer;error;tokens\r\n"
                                          "007;ä, b;echo: ä, b;;5\r\n")


def test_excel_gets_no_formulas_and_the_summary_counts_them_either_way(tranche):
    put(tranche, "a.csv", "text\nx\ny\n")
    plain = ask(tranche, "a.csv", "--enum", "=1+1")
    assert "2 answers begin with = + - @ or a tab, which a spreadsheet would compute" in plain.stderr
    assert read(tranche, "a.out.csv").splitlines()[1].startswith("x,=1+1,")
    excel = ask(tranche, "a.csv", "--excel", "--enum", "=1+1", "-o", "b.csv")
    assert "2 answers begin with = + - @ or a tab; ' stands before them" in excel.stderr
    assert read(tranche, "b.csv").startswith("\ufefftext,answer,error,tokens\r\nx,'=1+1,")


def test_several_files_packed_files_and_standard_input_are_tables(tranche):
    put(tranche, "a.csv", "id,text\n1,x\n")
    put(tranche, "b.csv.gz", gzip.compress(b"id,text\n2,y\n"))
    done = ask(tranche, "a.csv", "b.csv.gz", "-o", "out.csv.gz", "--keep-columns", "id")
    assert done.returncode == OK, done.stderr
    packed = gzip.decompress((tranche.folder / "out.csv.gz").read_bytes()).decode()
    assert packed == "id,answer,error,tokens\n1,echo: x,,3\n2,echo: y,,3\n"
    piped = ask(tranche, "-", stdin="id,text\n1,x\n")
    assert piped.stdout == "id,text,answer,error,tokens\n1,x,echo: x,,3\n"
    rows = ask(tranche, "-", "-o", "rows.csv", stdin='{"text": "x", "id": 7}\n')
    assert rows.returncode == OK, rows.stderr
    assert read(tranche, "rows.csv") == "text,id,answer,error,tokens\nx,7,echo: x,,3\n"


def test_a_packed_input_is_not_overwritten(tranche):
    before = put(tranche, "a.csv.gz", gzip.compress(b"text\nx\n")).read_bytes()
    done = ask(tranche, "a.csv.gz", "-o", "a.csv.gz", "--overwrite")
    assert done.returncode == USAGE and "is the input" in done.stderr
    assert (tranche.folder / "a.csv.gz").read_bytes() == before


def zstd(content, level=3, more=()):
    """One stream of zstd, by the library that the program uses."""
    library = ctypes.CDLL("libzstd.so.1")
    for call in (library.ZSTD_compressBound, library.ZSTD_compress2):
        call.restype = ctypes.c_size_t
    library.ZSTD_createCCtx.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.ZSTD_createCCtx())
    for parameter, value in ((100, level), *more):
        library.ZSTD_CCtx_setParameter(context, parameter, value)
    room = library.ZSTD_compressBound(ctypes.c_size_t(len(content)))
    out = ctypes.create_string_buffer(room)
    written = library.ZSTD_compress2(context, out, ctypes.c_size_t(room), content,
                                     ctypes.c_size_t(len(content)))
    library.ZSTD_freeCCtx(context)
    assert written <= room
    return out.raw[:written]


def unzstd(packed):
    """The content of one stream or several."""
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_decompressStream.restype = ctypes.c_size_t

    class Buffer(ctypes.Structure):
        _fields_ = [("p", ctypes.c_char_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]

    room = ctypes.create_string_buffer(1 << 20)
    out = Buffer(ctypes.cast(room, ctypes.c_char_p), len(room), 0)
    given = Buffer(packed, len(packed), 0)
    stream = ctypes.c_void_p(library.ZSTD_createDStream())
    left = library.ZSTD_decompressStream(stream, ctypes.byref(out), ctypes.byref(given))
    library.ZSTD_freeDStream(stream)
    assert left == 0 and given.pos == given.size  # the stream is whole
    return room.raw[:out.pos]


def test_zstd_is_unpacked_and_packed_by_the_name(tranche):
    put(tranche, "a.csv.zst", zstd(b"id,text\n1,x\n") + zstd(b"2,y\n"))
    done = ask(tranche, "a.csv.zst", "-o", "out.csv.zst", "--keep-columns", "id")
    assert done.returncode == OK, done.stderr
    packed = (tranche.folder / "out.csv.zst").read_bytes()
    assert unzstd(packed) == b"id,answer,error,tokens\n1,echo: x,,3\n2,echo: y,,3\n"
    put(tranche, "b.tsv.zst", zstd(b"id\ttext\n1\tx\n"))
    assert ask(tranche, "b.tsv.zst", "-o", "b.jsonl").returncode == OK
    assert json.loads(read(tranche, "b.jsonl"))["answer"] == "echo: x"
    line = b'{"contents":[{"role":"user","parts":[{"text":"x"}]}]}\n'
    put(tranche, "in.jsonl.zst", zstd(line))
    assert tranche("run", "in.jsonl.zst", *FAKE).returncode == OK
    assert json.loads(read(tranche, "in.out.jsonl"))["status"] == ""


def test_a_zstd_stream_that_is_broken_or_a_bomb_is_refused(tranche):
    long_window = ((160, 1), (101, 28))  # long distance matching, a window of 256 MiB
    big = bytes(1 << 21)
    for name, content, says in (
            ("cut.csv.zst", zstd(b"text\nx\n")[:-3], "not a whole zstd stream"),
            ("ends.csv.zst", zstd(random.Random(7).randbytes(1 << 18))[:5000], "ends too early"),
            ("tail.csv.zst", zstd(b"text\nx\n") + b"tail", "not a whole zstd stream"),
            ("window.csv.zst", zstd(b"text\n" + big * 130, more=long_window), "--long"),
            ("bomb.csv.zst", zstd(b"text\n") + zstd(big) * 600, "if it is not a bomb")):
        put(tranche, name, content)
        done = ask(tranche, name)
        assert done.returncode in (USAGE, INPUT), (name, done.stderr)
        assert says in done.stderr and len(done.stderr.splitlines()) == 1, (name, done.stderr)


def test_requests_are_packed_and_unpacked_too(tranche):
    line = b'{"contents":[{"role":"user","parts":[{"text":"x"}]}]}\n'
    put(tranche, "in.jsonl.gz", gzip.compress(line))
    assert tranche("run", "in.jsonl.gz", "-o", "out.jsonl.gz", *FAKE).returncode == OK
    row = json.loads(gzip.decompress((tranche.folder / "out.jsonl.gz").read_bytes()))
    assert row["status"] == ""


# ---- What people do wrong ----


@pytest.mark.parametrize("arguments, says", [
    (("--prompt", "{txt}"), 'there is no column "txt"; did you mean "text"?'),
    (("--prompt", "Label this."), "the prompt names no column"),
    (("--prompt", 'As {"label": "x"}: {text}'), "is written {{ or }}"),
    (("--prompt", "{text}", "--where", "star > 1"), 'did you mean "stars"?'),
    (("--prompt", "{text}", "--where", "text = good"), "in 'single quotes'"),
    (("--prompt", "{text}", "--keep-columns", "ids"), 'did you mean "id"?'),
    (("--prompt", "{text}", "--param", "temperature=9"), "temperature value of 9"),
    (("--prompt", "{text}", "--schema", "@absent.json"), "absent.json"),
    (("--prompt", "{text}", "-o", "out.duckdb#t"), "files of .duckdb cannot be used"),
    (("--prompt", "{text}", "-o", "out.jsonl", "--excel"), "--excel is for CSV"),
    (("--enum", "a,b"), "--enum goes with --prompt"),
    ((), "--prompt 'Label: {column}'"),
])
def test_a_mistake_ends_the_run_before_any_work_with_one_line(tranche, arguments, says):
    put(tranche, "reviews.csv", REVIEWS)
    done = tranche("run", "reviews.csv", *arguments, *FAKE)
    assert done.returncode in (USAGE, INPUT)
    assert says in done.stderr and len(done.stderr.splitlines()) == 1
    assert [path.name for path in tranche.folder.iterdir() if "out" in path.name] == []


@pytest.mark.parametrize("name, content, says", [
    ("a.csv", "id,text\n1,caf\xe9\n".encode("latin-1"), "a.csv:2: byte 0xE9 is not UTF-8; the file "
     "looks like Latin-1"),
    ("a.csv", "id,text\n".encode("utf-16"), "is UTF-16"),
    ("a.csv", b"PK\x03\x04", "CSV UTF-8"),
    ("a.csv", b"id,text\r1,x\r", "carriage return"),
    ("a.csv", b"", "has no header"),
    ("a.csv", b"id,text\n", "the input has no lines"),
    ("a.xlsx", b"PK\x03\x04", "CSV UTF-8"),
    ("a.csv.gz", gzip.compress(b"text\nx\n")[:-4], "not a whole gzip stream"),
])
def test_a_file_that_is_no_table_is_named_with_the_remedy(tranche, name, content, says):
    put(tranche, name, content)
    done = ask(tranche, name)
    assert done.returncode in (USAGE, INPUT)
    assert says in done.stderr and len(done.stderr.splitlines()) == 1


def test_bad_rows_are_named_by_line_and_column_and_keep_their_places(tranche):
    put(tranche, "a.csv", b'id,text\n1,"two\nlines"\n2\n3,a,b\n4,"x"y\n5,\n6,good\n')
    done = ask(tranche, "a.csv")
    assert done.returncode == SOME_FAILED
    for says in ("a.csv:4: The row has 1 cell, the header 2.",
                 "a.csv:5: The row has 3 cells, the header 2.",
                 'a.csv:6: column "text": The cell is malformed: text stands behind its closing',
                 "a.csv:7: The filled-in prompt is empty."):
        assert says in done.stderr
    rows = list(csv.DictReader(io.StringIO(read(tranche, "a.out.csv"))))
    assert [row["id"] for row in rows] == list("123456")
    assert [bool(row["error"]) for row in rows] == [False, True, True, True, True, False]
    assert [row["answer"] for row in rows] == ["echo: two\nlines", "", "", "", "", "echo: good"]
    assert ask(tranche, "a.csv", "--strict", "-o", "b.csv").returncode == INPUT


def test_latin_1_further_down_is_a_bad_row(tranche):
    put(tranche, "a.csv", b"id,text\n" + b"1,x\n" * 100000 + b"2,caf\xe9\n")
    done = ask(tranche, "a.csv")
    assert done.returncode == SOME_FAILED
    assert 'a.csv:100002: column "text": Byte 0xE9 is not UTF-8' in done.stderr


def test_a_column_that_is_there_already_is_not_lost(tranche):
    put(tranche, "a.csv", "text,answer,error\nx,old,\n")
    assert ask(tranche, "a.csv").returncode == OK
    assert read(tranche, "a.out.csv") == ("text,answer,error,answer_2,error_2,tokens\n"
                                          "x,old,,echo: x,,3\n")


# ---- A table runs as any job does ----


def start_slow(tranche, arguments, partial):
    put(tranche, "slow.yaml", "fake:\n  delay_ms: 100\n")
    process = tranche.start("run", *arguments, *FAKE, "--max-in-flight", "2", "--config",
                            "slow.yaml")
    path = tranche.folder / partial
    while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") > 8):
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    return process


def test_after_kill_9_a_table_goes_on_and_has_each_row_once(tranche):
    put(tranche, "a.csv", "id,text\n" + "".join(f'{i},"row\n{i}"\n' for i in range(200)))
    arguments = ("a.csv", "--prompt", "{text}", "-o", "b.csv")
    process = start_slow(tranche, arguments, "b.csv.partial")
    process.kill()
    process.communicate()
    assert not (tranche.folder / "b.csv").exists()
    put(tranche, "slow.yaml", "fake:\n  delay_ms: 0\n")
    done = tranche("run", *arguments, *FAKE, "--max-in-flight", "2", "--config", "slow.yaml",
                   "--json")
    assert done.returncode == OK, done.stderr
    assert json.loads(done.stdout)["lines"]["resumed"] >= 4
    rows = list(csv.DictReader(io.StringIO(read(tranche, "b.csv"))))
    assert [(row["id"], row["answer"]) for row in rows] == [
        (str(i), f"echo: row\n{i}") for i in range(200)]


@pytest.mark.parametrize("changed", [
    ("--prompt", "Now {text}"), ("--where", "id < 3"), ("--keep-columns", "id"),
    ("--system", "Be short."), ("--param", "topK=1"), ("--excel",)])
def test_a_changed_setting_is_another_run(tranche, changed):
    put(tranche, "a.csv", "id,text\n1,x\n2,y\n")
    first = ("a.csv", "--prompt", "{text}", "-o", "b.csv")
    assert tranche("run", *first, *FAKE).returncode == OK
    same = tranche("run", *first, *FAKE)
    assert "already finished" in same.stderr
    other = [*first, *changed] if changed[0] != "--prompt" else ["a.csv", *changed, "-o", "b.csv"]
    done = tranche("run", *other, *FAKE)
    assert done.returncode == OK and "already finished" not in done.stderr


def test_equal_rows_are_asked_once(tranche):
    put(tranche, "a.csv", "id,text\n" + "".join(f"{i},same\n" for i in range(50)))
    done = ask(tranche, "a.csv", "--param", "temperature=0", "--json")
    assert json.loads(done.stdout)["lines"]["duplicates"] == 49


def test_a_large_table_runs_in_constant_memory(tranche):
    """The peak of a table ten times as large is less than half as much again."""
    peaks = []
    for count in (20000, 200000):
        put(tranche, "a.csv", "id,text\n" + "".join(
            f'{i},"a review, of some words {i}"\n' for i in range(count)))
        done = subprocess.run(
            ["/usr/bin/env", "python3", "-c",
             "import resource, subprocess, sys\n"
             "code = subprocess.run(sys.argv[1:]).returncode\n"
             "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
             "sys.exit(code)", PROGRAM, "run", "a.csv", "--prompt", "{text}", *FAKE, "--quiet",
             "--fresh", "-o", f"{count}.csv"],
            cwd=tranche.folder, env=tranche.environment, capture_output=True, text=True,
            timeout=300, check=False)
        assert done.returncode == OK, done.stderr
        peaks.append(int(done.stdout))
    assert peaks[1] < 256 * 1024 and peaks[1] < peaks[0] * 1.5, peaks
