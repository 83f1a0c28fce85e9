"""One input, many machines: `tranche run --shard K/N` and `tranche merge`. Each folder of state stands for a machine."""
import csv
import gzip
import io
import json
import os
import random
import resource
import shutil
import time

import pytest

from conftest import request

OK, SOME_FAILED, USAGE, INPUT, STOPPED = 0, 1, 2, 3, 4
FAKE = ("--model", "tranche-fake")


def odd_lines(tranche, count, name="in.jsonl", seed=1):
    """Lines of very different lengths, with empty lines and CRLF between them, without a last line end."""
    rng = random.Random(seed)
    text = "\ufeff"
    for i in range(count):
        line = json.dumps(request(f"{i} " + "x" * rng.choice([0, 1, 9, 200, 5000])))
        text += line + ("" if i == count - 1 else rng.choice(["\n", "\r\n", "\n\n \n"]))
    (tranche.folder / name).write_bytes(text.encode())


def questions(rows):
    return [row["request"]["contents"][0]["parts"][0]["text"].split()[0] for row in rows]


def part(tranche, k, n, name="in.jsonl", *more):
    return tranche("run", name, *FAKE, "--shard", f"{k}/{n}", "-o", f"part-{k}.jsonl", "--quiet", *more)


def parts(tranche, n, name="in.jsonl"):
    for k in range(n):
        done = part(tranche, k, n, name)
        assert done.returncode == OK, done.stderr
    return [f"part-{k}.jsonl" for k in range(n)]


def merge(tranche, names, *more):
    return tranche("merge", *names, "-o", "all.jsonl", *more)


def test_64_shards_of_odd_lines_become_one_output_with_each_line_once(tranche):
    odd_lines(tranche, 301)
    names = parts(tranche, 64)
    random.Random(3).shuffle(names)
    done = merge(tranche, names, "--json")
    assert done.returncode == OK, done.stderr
    assert questions(tranche.rows("all.jsonl")) == [str(i) for i in range(301)]
    summary = json.loads(done.stdout)
    assert summary["parts"] == 64 and summary["lines"] == {
        "total": 301, "succeeded": 301, "failed": 0, "not_run": 0}
    records = [json.loads((tranche.folder / f"part-{k}.jsonl.shard.json").read_text())
               for k in range(64)]
    assert sum(r["summary"]["tokens"]["prompt"] for r in records) == summary["tokens"]["prompt"] > 0
    assert sum(r["lines"] for r in records) == 301
    assert "301 lines of 64 parts, each once and in order" in done.stderr


def test_more_shards_than_lines_leave_empty_parts(tranche):
    tranche.write("in.jsonl", request("0"), request("1"))
    names = parts(tranche, 9)
    assert sum(not tranche.rows(name) for name in names) == 7
    assert merge(tranche, names).returncode == OK
    assert questions(tranche.rows("all.jsonl")) == ["0", "1"]


def test_several_files_and_packed_ones_are_cut_as_one_input(tranche):
    odd_lines(tranche, 40, "a.jsonl")
    odd_lines(tranche, 3, "b.jsonl", seed=2)
    odd_lines(tranche, 50, "c.jsonl", seed=3)
    packed = gzip.compress((tranche.folder / "a.jsonl").read_bytes())
    (tranche.folder / "a.jsonl.gz").write_bytes(packed)
    for k in range(7):
        done = part(tranche, k, 7, "a.jsonl.gz", "b.jsonl", "c.jsonl")
        assert done.returncode == OK, done.stderr
    assert merge(tranche, [f"part-{k}.jsonl" for k in range(7)]).returncode == OK
    expected = [str(i) for n in (40, 3, 50) for i in range(n)]
    assert questions(tranche.rows("all.jsonl")) == expected


def kill_in_the_middle(tranche, shard):
    """Runs part 1 by slow.yaml, until its first rows can be read."""
    process = tranche.start("run", "in.jsonl", *FAKE, "--shard", shard, "-o", "part-1.jsonl", "--config", "slow.yaml")
    partial = tranche.folder / "part-1.jsonl.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()


def test_a_killed_shard_goes_on_and_is_not_merged_before(tranche):
    (tranche.folder / "slow.yaml").write_text("fake: { delay_ms: 50, window: 4 }\n")
    odd_lines(tranche, 300)
    for k in (0, 2):
        assert part(tranche, k, 3).returncode == OK
    kill_in_the_middle(tranche, "1/3")
    names = [f"part-{k}.jsonl" for k in range(3)]
    refused = merge(tranche, names)
    assert refused.returncode == INPUT
    assert "part-1.jsonl is not finished" in refused.stderr
    (tranche.folder / "slow.yaml").write_text("fake: { delay_ms: 0, window: 4 }\n")
    done = part(tranche, 1, 3, "in.jsonl", "--config", "slow.yaml", "--json")
    assert done.returncode == OK, done.stderr
    lines = json.loads(done.stdout)["lines"]
    assert lines["resumed"] > 0 and lines["succeeded"] == lines["total"] < 300
    assert merge(tranche, names).returncode == OK
    assert questions(tranche.rows("all.jsonl")) == [str(i) for i in range(300)]


def test_the_cut_is_the_same_on_every_machine(tranche):
    odd_lines(tranche, 100)
    for k in range(4):
        done = part(tranche, k, 4, "in.jsonl", "--state", f"machine-{k}")
        assert done.returncode == OK, done.stderr
    assert merge(tranche, [f"part-{k}.jsonl" for k in range(4)]).returncode == OK
    assert questions(tranche.rows("all.jsonl")) == [str(i) for i in range(100)]


def test_a_merge_given_again_changes_nothing_and_replaces_nothing_else(tranche):
    odd_lines(tranche, 20)
    names = parts(tranche, 3)
    assert merge(tranche, names).returncode == OK
    before = (tranche.folder / "all.jsonl").stat()
    again = merge(tranche, names)
    assert again.returncode == OK and "there already" in again.stderr
    assert (tranche.folder / "all.jsonl").stat().st_mtime_ns == before.st_mtime_ns
    (tranche.folder / "all.jsonl").write_text("mine\n")
    refused = merge(tranche, names)
    assert refused.returncode == USAGE and "--overwrite" in refused.stderr
    assert (tranche.folder / "all.jsonl").read_text() == "mine\n"
    assert merge(tranche, names, "--overwrite").returncode == OK
    assert len(tranche.rows("all.jsonl")) == 20
    assert not (tranche.folder / "all.jsonl.partial").exists()


def test_a_merge_on_a_full_disk_leaves_nothing_and_can_be_given_again(tranche):
    odd_lines(tranche, 60)
    names = parts(tranche, 2)
    process = tranche.start("merge", *names, "-o", "all.jsonl", preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (4096, 4096)))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == STOPPED, errors
    assert not list(tranche.folder.glob("all.jsonl*"))
    assert merge(tranche, names).returncode == OK
    assert len(tranche.rows("all.jsonl")) == 60


def test_merge_names_the_part_that_does_not_fit_and_the_remedy(tranche):
    odd_lines(tranche, 30)
    names = parts(tranche, 4)
    folder = tranche.folder

    def refused(names, *words):
        done = merge(tranche, names)
        assert done.returncode == INPUT, done.stderr
        for word in words:
            assert word in done.stderr, done.stderr
        assert not (folder / "all.jsonl").exists()

    refused(names[:2] + names[3:], "1 of 4 parts is not named: 2/4", "tranche run INPUT --shard K/4")
    for name in ("part-1.jsonl", "part-1.jsonl.shard.json"):
        shutil.copy(folder / name, folder / name.replace("part-1", "copy"))
    refused(names + ["copy.jsonl"], "part-1.jsonl and copy.jsonl are both part 1/4")
    refused(names[:3] + ["gone.jsonl"], "gone.jsonl is not there")
    (folder / "plain.jsonl").write_text("{}\n")
    refused(names[:3] + ["plain.jsonl"], "plain.jsonl has no record beside it")
    refused(names + ["part-1.jsonl.shard.json"], "name the part itself")
    for k, n in ((0, 5), (3, 5)):
        done = tranche("run", "in.jsonl", *FAKE, "--shard", f"{k}/{n}", "-o", f"five-{k}.jsonl")
        assert done.returncode == OK
    refused(names[:3] + ["five-3.jsonl"], "five-3.jsonl is part 3/5")
    odd_lines(tranche, 30, "other.jsonl", seed=9)
    done = tranche("run", "other.jsonl", *FAKE, "--shard", "3/4", "-o", "foreign.jsonl")
    assert done.returncode == OK
    refused(names[:3] + ["foreign.jsonl"], "foreign.jsonl are parts of different inputs")
    whole = (folder / "part-2.jsonl").read_bytes()
    shutil.copy2(folder / "part-2.jsonl", folder / "whole.jsonl")
    (folder / "part-2.jsonl").write_bytes(whole[:-9])
    refused(names, "part-2.jsonl is not as its run finished it", "--overwrite")
    (folder / "part-2.jsonl").write_bytes(whole.replace(b"x", b"y", 1))
    refused(names, "part-2.jsonl is not as its run finished it")
    shutil.copy2(folder / "whole.jsonl", folder / "part-2.jsonl")
    record = folder / "part-2.jsonl.shard.json"
    record.write_text(record.read_text()[:50])
    refused(names, "part-2.jsonl.shard.json is not a whole record")
    record.unlink()
    done = part(tranche, 2, 4)
    assert done.returncode == OK  # it writes the record of the finished part again
    assert merge(tranche, names).returncode == OK
    out = tranche("merge", *names, "-o", "part-2.jsonl")
    assert out.returncode == USAGE and "is one of the parts" in out.stderr


def test_an_input_that_grew_makes_its_parts_new_ones(tranche):
    odd_lines(tranche, 30)
    names = parts(tranche, 3)
    with open(tranche.folder / "in.jsonl", "a") as file:
        file.write("\n" + json.dumps(request("30")))
    assert part(tranche, 2, 3).returncode == OK
    refused = merge(tranche, names)
    assert refused.returncode == INPUT and "the input changed" in refused.stderr
    parts(tranche, 3)
    assert merge(tranche, names).returncode == OK
    assert questions(tranche.rows("all.jsonl")) == [str(i) for i in range(31)]


def edit(tranche, old, new, name="in.jsonl"):
    """Another text of the same length, as an editor would write it."""
    path = tranche.folder / name
    text = path.read_bytes()
    assert text.count(old) == 1 and len(old) == len(new)
    path.write_bytes(text.replace(old, new))


def middle_of_three(tranche):
    """An input of more bytes than its digest takes: 64 KiB at each end. Its lines from 100 to 199 are in part 1/3."""
    tranche.write("in.jsonl", *(request(f"{i} {'x' * 2000}") for i in range(300)))


def test_an_edit_in_the_middle_between_the_runs_of_two_parts_is_noticed(tranche):
    middle_of_three(tranche)
    names = parts(tranche, 3)[:2]
    edit(tranche, b'"150 ', b'"951 ')
    assert part(tranche, 2, 3, "in.jsonl", "--fresh").returncode == OK
    names.append("part-2.jsonl")
    refused = merge(tranche, names)
    assert refused.returncode == INPUT and "part-0.jsonl and part-2.jsonl were run" in refused.stderr, refused.stderr
    refused = merge(tranche, names, "--input", "in.jsonl")
    assert refused.returncode == INPUT and "not as it was when part-1.jsonl was run" in refused.stderr
    assert not (tranche.folder / "all.jsonl").exists()
    # Given again, only the part whose lines changed is answered anew.
    before = [(tranche.folder / name).stat().st_mtime_ns for name in names]
    done = [part(tranche, k, 3, "in.jsonl", "--json") for k in range(3)]
    assert sum(json.loads(d.stdout)["lines"]["total"] for d in done) == 300
    assert [before[k] == (tranche.folder / names[k]).stat().st_mtime_ns for k in range(3)] == [True, False, True]
    assert merge(tranche, names).returncode == OK
    assert questions(tranche.rows("all.jsonl")) == [str(i) for i in range(150)] + ["951"] + [str(i) for i in range(151, 300)]


def test_copies_with_other_times_are_proved_by_the_input_itself(tranche):
    middle_of_three(tranche)
    for k in range(3):  # each machine has a copy of its own, made at another time
        copy = tranche.folder / f"machine-{k}" / "in.jsonl"
        copy.parent.mkdir()
        shutil.copy(tranche.folder / "in.jsonl", copy)
        os.utime(copy, (1_700_000_000 + k, 1_700_000_000 + k))
        assert part(tranche, k, 3, f"machine-{k}/in.jsonl").returncode == OK
    names = [f"part-{k}.jsonl" for k in range(3)]
    assert merge(tranche, names).returncode == INPUT
    done = merge(tranche, names, "--input", "in.jsonl")
    assert done.returncode == OK, done.stderr
    assert questions(tranche.rows("all.jsonl")) == [str(i) for i in range(300)]
    again = merge(tranche, names, "--input", "in.jsonl")
    assert again.returncode == OK and "there already" in again.stderr
    edit(tranche, b'"299 ', b'"992 ')
    refused = merge(tranche, names, "--input", "in.jsonl")
    assert refused.returncode == INPUT and "part-2.jsonl" in refused.stderr
    (tranche.folder / "in.jsonl").write_text("{}\n")
    refused = merge(tranche, names, "--input", "in.jsonl")
    assert refused.returncode == INPUT and "has 3 bytes in 1 file and had" in refused.stderr
    refused = merge(tranche, names, "--input", "-")
    assert refused.returncode == INPUT and "not standard input" in refused.stderr


def test_packed_inputs_are_compared_unpacked(tranche):
    odd_lines(tranche, 40, "a.jsonl")
    odd_lines(tranche, 50, "b.jsonl", seed=3)
    (tranche.folder / "a.jsonl.gz").write_bytes(gzip.compress((tranche.folder / "a.jsonl").read_bytes()))
    for k in range(5):
        assert part(tranche, k, 5, "a.jsonl.gz", "b.jsonl").returncode == OK
    names = [f"part-{k}.jsonl" for k in range(5)]
    done = merge(tranche, names, "--input", "a.jsonl.gz", "--input", "b.jsonl")
    assert done.returncode == OK, done.stderr
    refused = merge(tranche, names, "--input", "b.jsonl", "--input", "a.jsonl.gz")
    assert refused.returncode == INPUT and "not as it was when part-0.jsonl" in refused.stderr


def test_failed_lines_are_counted_over_all_parts_and_retried_in_the_whole(tranche):
    lines = [request(str(i)) for i in range(12)]
    lines[5] = {"request": {"contents": []}}
    tranche.write("in.jsonl", *lines)
    for k in range(3):
        part(tranche, k, 3)
    done = merge(tranche, [f"part-{k}.jsonl" for k in range(3)], "--json")
    assert done.returncode == SOME_FAILED
    assert json.loads(done.stdout)["lines"] == {
        "total": 12, "succeeded": 11, "failed": 1, "not_run": 0}


@pytest.mark.parametrize("ending, delimiter", [("csv", ","), ("tsv", "\t")])
def test_a_table_is_cut_between_its_records_and_keeps_one_header(tranche, ending, delimiter):
    rng = random.Random(5)
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["id", "text"])
    for i in range(200):
        writer.writerow([i, rng.choice(["a", "a\nb\n\nc", 'say "x"\n,"\n', "y" * 700, ""])])
    (tranche.folder / f"in.{ending}").write_text(text.getvalue(), newline="")
    ask = ("run", f"in.{ending}", "--prompt", "{id} {text}", *FAKE, "--where", "id != 7")
    assert tranche(*ask, "-o", f"whole.{ending}").returncode == OK
    names = [f"part-{k}.{ending}" for k in range(16)]
    for k, name in enumerate(names):
        done = tranche(*ask, "--shard", f"{k}/16", "-o", name)
        assert done.returncode == OK, done.stderr
    assert tranche("merge", *names, "-o", f"all.{ending}").returncode == OK
    assert sorted((tranche.folder / f"all.{ending}").read_bytes().split(b"\n")) == \
        sorted((tranche.folder / f"whole.{ending}").read_bytes().split(b"\n"))
    with open(tranche.folder / f"all.{ending}", newline="") as file:
        rows = list(csv.reader(file, delimiter=delimiter))
    assert [row[0] for row in rows] == ["id"] + [str(i) for i in range(200) if i != 7]
    done = tranche("run", f"in.{ending}", "--prompt", "Label {id} {text}", *FAKE, "--shard", "3/16", "-o", names[3])
    assert done.returncode == OK, done.stderr
    refused = tranche("merge", *names, "-o", f"all.{ending}")
    assert refused.returncode == INPUT and "another model, prompt" in refused.stderr


def test_a_dry_run_checks_only_the_shard(tranche):
    lines = [request(str(i)) for i in range(10)]
    lines[9] = "{"
    tranche.write("in.jsonl", *lines)
    first, last = (part(tranche, k, 2, "in.jsonl", "--dry-run", "--json") for k in (0, 1))
    assert first.returncode == OK and last.returncode == INPUT
    assert not (tranche.folder / "part-0.jsonl").exists()


@pytest.mark.parametrize("arguments, words", [
    (("in.jsonl", "--shard", "4/4", "-o", "p.jsonl"), "K from 0 to N-1"),
    (("in.jsonl", "--shard", "1", "-o", "p.jsonl"), "not K/N"),
    (("in.jsonl", "--shard", "-1/4", "-o", "p.jsonl"), "not K/N"),
    (("in.jsonl", "--shard", "1/10001", "-o", "p.jsonl"), "not K/N"),
    (("in.jsonl", "--shard", "1/4"), "-o part-1.jsonl"),
    (("in.jsonl", "--shard", "1/4", "-o", "-"), "-o part-1.jsonl"),
    (("in.jsonl", "--shard", "1/4", "-o", "p.jsonl.gz"), "not compressed"),
    (("-", "--shard", "1/4", "-o", "p.jsonl"), "not standard input"),
    (("in.jsonl", "--shard", "1/4", "-o", "p.jsonl", "--limit", "3"), "--limit and --shard"),
    (("in.parquet", "--prompt", "{a}", "--shard", "1/4", "-o", "p.csv"), "not in.parquet"),
    (("in.jsonl", "--retry-failed", "o.jsonl", "--shard", "1/4", "-o", "p.jsonl"), "merge the parts"),
])
def test_what_cannot_be_cut_is_refused_with_the_remedy(tranche, arguments, words):
    tranche.write("in.jsonl", request("0"))
    done = tranche("run", *arguments, *FAKE, stdin="")
    assert done.returncode == USAGE and words in done.stderr, done.stderr


def test_peek_shows_the_rows_of_a_shard(tranche):
    (tranche.folder / "slow.yaml").write_text("fake: { delay_ms: 50, window: 2 }\n")
    tranche.write("in.jsonl", *(request(str(i)) for i in range(100)))
    kill_in_the_middle(tranche, "1/2")
    done = tranche("peek", "part-1.jsonl")
    assert done.returncode == OK, done.stderr
    seen = questions(json.loads(line) for line in done.stdout.splitlines())
    assert seen and 48 <= int(seen[0]) <= 51
