"""Parquet and DuckDB tables: `tranche table` looks into them and copies them, `tranche run --prompt` asks about
their rows. Values that have a type stay what they were."""
import json
import signal

import pytest


CSV = ("id,name,price,day\n"
       "007,\"a, \"\"b\"\"\",1.10,2024-02-29\n"
       "9223372036854775807,,2.50,2024-03-01\n")


def test_a_table_goes_through_all_kinds_of_files_and_comes_back_as_it_was(tranche):
    (tranche.folder / "in.csv").write_text(CSV)
    chain = ["in.csv", "a.parquet", "b.duckdb#say hi", "c.tsv", "d.parquet", "e.jsonl", "f.csv.gz", "g.csv"]
    for source, target in zip(chain, chain[1:]):
        done = tranche("table", "copy", source, target)
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"2 rows to {target}\n"
    assert (tranche.folder / "g.csv").read_text() == (
        'id,name,price,day\n007,"a, ""b""",1.1,2024-02-29\n9223372036854775807,,2.5,2024-03-01\n')


def test_head_and_schema_show_rows_and_types(tranche):
    (tranche.folder / "in.csv").write_text(CSV)
    assert tranche("table", "head", "in.csv", "--rows", 1).stdout.split() == [
        "id", "name", "price", "day", "007", "a,", '"b"', "1.1", "2024-02-29"]
    rows = [json.loads(line) for line in tranche("table", "head", "in.csv", "--json").stdout.splitlines()]
    assert rows[1] == {"id": "9223372036854775807", "name": None, "price": "2.5", "day": "2024-03-01"}
    types = [json.loads(line) for line in tranche("table", "schema", "in.csv", "--json").stdout.splitlines()]
    assert [t["type"] for t in types] == ["VARCHAR", "VARCHAR", "DOUBLE", "DATE"]


def test_ls_lists_the_tables_of_a_duckdb_file(tranche):
    (tranche.folder / "in.csv").write_text(CSV)
    assert tranche("table", "copy", "in.csv", "x.duckdb#reviews").returncode == 0
    assert tranche("table", "ls", "x.duckdb").stdout.split() == ["TABLE", "KIND", "main.reviews", "base", "table"]


def test_what_is_there_is_not_replaced_without_a_word(tranche):
    (tranche.folder / "in.csv").write_text(CSV)
    assert tranche("table", "copy", "in.csv", "x.duckdb#t").returncode == 0
    for target in ("x.duckdb#t", "in.csv"):
        refused = tranche("table", "copy", "in.csv", target)
        assert refused.returncode == 3 and "--overwrite" in refused.stderr
    assert tranche("table", "copy", "in.csv", "x.duckdb#t", "--overwrite").returncode == 0


def test_what_is_no_table_is_named_with_the_remedy(tranche):
    (tranche.folder / "a.parquet").write_text("no parquet")
    for arguments, code, words in (
            (["head", "a.xlsx"], 2, "Save the sheet as CSV"),
            (["head", "a.parquet"], 3, "a.parquet"),
            (["head", "absent.csv"], 3, "absent.csv"),
            (["ls", "a.parquet"], 3, ".duckdb"),
            (["sing", "a.csv"], 2, "ls, schema, head, copy, load, export or sql"),
            (["copy", "a.csv"], 2, "takes 2 arguments")):
        result = tranche("table", *arguments)
        assert (result.returncode, result.stdout) == (code, "") and words in result.stderr, result.stderr


def test_without_the_library_the_message_says_how_to_get_it(tranche):
    (tranche.folder / "in.csv").write_text(CSV)
    result = tranche("table", "head", "in.csv", TRANCHE_DUCKDB="/absent.so")
    assert result.returncode == 5 and "TRANCHE_DUCKDB" in result.stderr


# ---- Runs over them ----


ASK = ("--prompt", "Say: {name}", "--model", "tranche-fake")


def types(tranche, table):
    rows = tranche("table", "schema", table, "--json").stdout.splitlines()
    return {json.loads(row)["name"]: json.loads(row)["type"] for row in rows}


def head(tranche, table):
    return [json.loads(row) for row in tranche("table", "head", table, "--json").stdout.splitlines()]


@pytest.mark.parametrize("source", ["in.parquet", "x.duckdb#t"])
def test_rows_of_a_table_are_asked_and_come_back_with_their_types(tranche, source):
    (tranche.folder / "in.csv").write_text("id,name,price,day\n9223372036854775807,a,1.5,2024-02-29\n2,,,\n")
    assert tranche("table", "copy", "in.csv", source).returncode == 0
    done = tranche("run", source, *ASK, "-o", "out.parquet")
    assert done.returncode == 0, done.stderr
    assert types(tranche, "out.parquet") == {"id": "BIGINT", "name": "VARCHAR", "price": "DOUBLE", "day": "DATE",
                                             "answer": "VARCHAR", "error": "VARCHAR", "tokens": "BIGINT"}
    rows = head(tranche, "out.parquet")
    assert rows[0] == {"id": "9223372036854775807", "name": "a", "price": "1.5", "day": "2024-02-29",
                       "answer": "echo: Say: a", "error": None, "tokens": rows[0]["tokens"]}
    assert rows[1]["name"] is None and rows[1]["answer"] == "echo: Say: "
    again = tranche("run", source, *ASK, "-o", "out.parquet")
    assert again.returncode == 0 and "already finished" in again.stderr


def test_cells_of_csv_stay_texts_in_parquet_whatever_the_dialect_of_the_csv(tranche):
    (tranche.folder / "in.csv").write_bytes(b'\xef\xbb\xbfid;name\r\n007;"a;""b"""\r\n1.10;c"d\r\n')
    done = tranche("run", "in.csv", *ASK, "-o", "out.parquet")
    assert done.returncode == 0, done.stderr
    assert [(row["id"], row["name"]) for row in head(tranche, "out.parquet")] == [("007", 'a;"b"'), ("1.10", 'c"d')]


def test_fields_of_a_schema_become_typed_columns(tranche):
    (tranche.folder / "in.csv").write_text("name\nfour\n")
    schema = {"type": "object", "required": ["n", "x", "ok", "tags", "word"], "additionalProperties": False,
              "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}, "x": {"type": "number"},
                             "ok": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
                             "word": {"type": "string", "maxLength": 4}}}
    done = tranche("run", "in.csv", "--prompt", "Describe {name}", "--schema", json.dumps(schema), "-o", "out.parquet")
    assert done.returncode == 0, done.stderr
    assert types(tranche, "out.parquet") == {"name": "VARCHAR", "n": "BIGINT", "x": "DOUBLE", "ok": "BOOLEAN", "tags": "JSON",
                                             "word": "VARCHAR", "error": "VARCHAR", "tokens": "BIGINT"}
    row = head(tranche, "out.parquet")[0]
    assert 1 <= int(row["n"]) <= 9 and isinstance(json.loads(row["tags"]), list)


def test_a_killed_run_over_parquet_goes_on_and_has_each_row_once(tranche):
    (tranche.folder / "in.csv").write_text("name\n" + "".join(f"r{i}\n" for i in range(300)))
    (tranche.folder / "slow.yaml").write_text("fake: { delay_ms: 50 }\n")
    assert tranche("table", "copy", "in.csv", "in.parquet").returncode == 0
    command = ("run", "in.parquet", *ASK, "-o", "out.parquet", "--config", "slow.yaml", "--max-in-flight", "8")
    running = tranche.start(*command)
    written = []  # the rows so far, as CSV in the run's state
    while not any(path.stat().st_size > 200 for path in written):
        assert running.poll() is None, running.communicate()
        written = list((tranche.folder / "home").rglob("output.csv.partial"))
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert not (tranche.folder / "out.parquet").exists()
    done = tranche(*command)
    assert done.returncode == 0 and "resuming" in done.stderr, done.stderr
    assert tranche("table", "copy", "out.parquet", "out.csv").returncode == 0
    rows = (tranche.folder / "out.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [f"r{i}" for i in range(300)]


def test_tables_that_do_not_go_together_are_named(tranche):
    (tranche.folder / "in.csv").write_text("name\na\n")
    (tranche.folder / "other.csv").write_text("name\n1\n")
    for source, target in (("in.csv", "in.parquet"), ("other.csv", "other.parquet")):
        assert tranche("table", "copy", source, target).returncode == 0
    for inputs, output, words in (
            (("in.parquet", "in.csv"), "out.csv", "either all or none"),
            (("in.parquet", "other.parquet"), "out.csv", "other columns or types"),
            (("in.parquet",), "in.parquet", "is the input"),
            (("absent.parquet",), "out.csv", "absent.parquet"),
            (("in.parquet",), "out.xlsx", "xlsx")):
        refused = tranche("run", *inputs, *ASK, "-o", output)
        assert refused.returncode in (2, 3) and words in refused.stderr, refused.stderr


def test_tables_of_the_service_are_loaded_asked_and_exported(tranche):
    (tranche.folder / "in.csv").write_text("id,name,score\n1,Ann,1.5\n2,Bob,2\n")

    def table(*arguments):
        return tranche("table", *arguments, "--state", tranche.folder / "service")

    done = table("load", "in.csv", "shop.people")
    assert (done.returncode, done.stderr) == (0, "2 rows to shop.people\n")
    assert table("ls").stdout.split() == ["DATASET", "PROJECT", "shop", "local"]
    assert table("ls", "shop").stdout.split() == ["TABLE", "KIND", "people", "table"]
    assert table("schema", "shop.people").stdout.split()[2:] == ["id", "INT64", "name", "STRING", "score", "FLOAT64"]
    assert table("head", "shop.people", "--rows", 1).stdout.split()[3:] == ["1", "Ann", "1.5"]
    done = table("sql", "--json", "SELECT name, score * 2 AS twice FROM shop.people ORDER BY id")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"name": "Ann", "twice": 3.0}, {"name": "Bob", "twice": 4.0}]
    assert table("sql", "UPDATE shop.people SET score = 3 WHERE id = 1").stderr == "UPDATE: 1 rows\n"
    again = table("load", "in.csv", "shop.people")
    assert again.returncode == 3 and "--overwrite" in again.stderr
    wrong = table("sql", "SELEC 1")
    assert wrong.returncode == 3 and "at [1:1]" in wrong.stderr
    assert table("export", "shop.people", "out.parquet").stderr == "2 rows to out.parquet\n"
    assert table("export", "shop.people", "out.csv").returncode == 0
    assert (tranche.folder / "out.csv").read_text() == "id,name,score\n1,Ann,3.0\n2,Bob,2.0\n"
    assert table("export", "shop.people", "out.csv").returncode == 3
