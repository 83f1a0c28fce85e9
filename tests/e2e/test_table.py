"""`tranche table`: what is in CSV, Parquet and DuckDB files, and copies that keep every value."""
import json


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
            (["sing", "a.csv"], 2, "ls, schema, head or copy"),
            (["copy", "a.csv"], 2, "takes 2 arguments")):
        result = tranche("table", *arguments)
        assert (result.returncode, result.stdout) == (code, "") and words in result.stderr, result.stderr


def test_without_the_library_the_message_says_how_to_get_it(tranche):
    (tranche.folder / "in.csv").write_text(CSV)
    result = tranche("table", "head", "in.csv", TRANCHE_DUCKDB="/absent.so")
    assert result.returncode == 5 and "TRANCHE_DUCKDB" in result.stderr
