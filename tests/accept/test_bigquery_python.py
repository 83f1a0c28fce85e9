"""google-cloud-bigquery, unmodified, on tables of the service: the calls that most programs make."""
import datetime
import decimal
import io
import json
import os

import pytest

bigquery = pytest.importorskip("google.cloud.bigquery")
pandas = pytest.importorskip("pandas")

from google.api_core import exceptions  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402

PROJECT = "shop"


@pytest.fixture(scope="module")
def client(server):
    return bigquery.Client(project=PROJECT, credentials=AnonymousCredentials(),
                           client_options={"api_endpoint": server.url})


@pytest.fixture
def dataset(client, request):
    name = "d_" + "".join(c for c in request.node.name if c.isalnum())[:60]
    yield client.create_dataset(name)
    client.delete_dataset(name, delete_contents=True, not_found_ok=True)


def rows_of(result):
    return [tuple(row.values()) for row in result]


def test_datasets_are_made_changed_listed_and_deleted(client):
    made = bigquery.Dataset(f"{PROJECT}.life")
    made.description = "first"
    made.labels = {"team": "one"}
    made.location = "EU"
    made.default_table_expiration_ms = 3600000
    made = client.create_dataset(made)
    assert (made.description, made.labels, made.location) == ("first", {"team": "one"}, "EU")
    assert made.default_table_expiration_ms == 3600000 and made.created and made.etag
    with pytest.raises(exceptions.Conflict):
        client.create_dataset("life")
    client.create_dataset("life", exists_ok=True)
    made.description = "second"
    made.labels = {"team": None, "more": "two"}
    changed = client.update_dataset(made, ["description", "labels"])
    assert changed.description == "second" and changed.labels.get("more") == "two"
    with pytest.raises(exceptions.PreconditionFailed):
        client.update_dataset(made, ["description"])  # with the old etag
    assert "life" in [d.dataset_id for d in client.list_datasets()]
    client.create_table(f"{PROJECT}.life.t", exists_ok=True)
    with pytest.raises(exceptions.BadRequest):
        client.delete_dataset("life")
    client.delete_dataset("life", delete_contents=True)
    with pytest.raises(exceptions.NotFound, match="Not found: Dataset shop:life"):
        client.get_dataset("life")
    client.delete_dataset("life", not_found_ok=True)


def test_a_table_keeps_its_schema_and_options(client, dataset):
    table = bigquery.Table(f"{PROJECT}.{dataset.dataset_id}.t", schema=[
        bigquery.SchemaField("id", "INT64", mode="REQUIRED", description="its number"),
        bigquery.SchemaField("day", "DATE"),
        bigquery.SchemaField("tags", "STRING", mode="REPEATED"),
        bigquery.SchemaField("price", "NUMERIC", precision=10, scale=2),
        bigquery.SchemaField("who", "RECORD", fields=[bigquery.SchemaField("name", "STRING")]),
    ])
    table.time_partitioning = bigquery.TimePartitioning(field="day")
    table.clustering_fields = ["id"]
    table.description = "a table"
    client.create_table(table)
    found = client.get_table(table.reference)
    assert [(f.name, f.field_type, f.mode) for f in found.schema] == [
        ("id", "INTEGER", "REQUIRED"), ("day", "DATE", "NULLABLE"), ("tags", "STRING", "REPEATED"),
        ("price", "NUMERIC", "NULLABLE"), ("who", "RECORD", "NULLABLE")]
    assert found.schema[0].description == "its number" and found.schema[3].scale == 2
    assert found.time_partitioning.field == "day" and found.clustering_fields == ["id"]
    assert found.num_rows == 0 and found.table_type == "TABLE"
    found.schema = found.schema + [bigquery.SchemaField("note", "STRING")]
    found.labels = {"a": "b"}
    found.expires = datetime.datetime(2099, 1, 1, tzinfo=datetime.timezone.utc)
    changed = client.update_table(found, ["schema", "labels", "expires"])
    assert changed.schema[-1].name == "note" and changed.labels == {"a": "b"}
    assert changed.expires.year == 2099 and changed.description == "a table"
    changed.schema = changed.schema[1:]
    with pytest.raises(exceptions.BadRequest, match="missing in new schema"):
        client.update_table(changed, ["schema"])
    assert [t.table_id for t in client.list_tables(dataset)] == ["t"]
    client.delete_table(table)
    with pytest.raises(exceptions.NotFound, match=f"Not found: Table shop:{dataset.dataset_id}.t"):
        client.get_table(table.reference)


def test_json_rows_are_loaded_and_read(client, dataset):
    rows = [{"id": i, "name": f"n{i}", "tags": ["a", "b"][: i % 3], "who": {"age": i}} for i in range(5)]
    job = client.load_table_from_json(rows, f"{dataset.dataset_id}.people")
    job.result()
    assert job.output_rows == 5
    table = client.get_table(f"{dataset.dataset_id}.people")
    assert table.num_rows == 5
    found = sorted(client.list_rows(table), key=lambda row: row["id"])
    assert [dict(r.items()) for r in found] == [
        {"id": r["id"], "name": r["name"], "tags": r["tags"], "who": r["who"]} for r in rows] or \
        [r["who"] for r in found] == [r["who"] for r in rows]
    page = client.list_rows(table, max_results=2, start_index=1, selected_fields=[
        f for f in table.schema if f.name == "id"])
    assert len(rows_of(page)) == 2
    assert len(list(client.list_rows(table, page_size=2))) == 5


def test_every_type_survives_a_dataframe(client, dataset):
    frame = pandas.DataFrame({
        "i": [1, -(2**63), 2**63 - 1],
        "f": [1.5, float("inf"), -0.25],
        "b": [True, False, True],
        "s": ["x", "", "ä\n\"'"],
        "by": [b"\x00\xff", b"", b"abc"],
        "d": [datetime.date(2024, 2, 29), datetime.date(1, 1, 1), datetime.date(9999, 12, 31)],
        "t": [datetime.time(1, 2, 3), datetime.time(0, 0), datetime.time(23, 59, 59, 999999)],
        "dt": [datetime.datetime(2024, 1, 31, 12), datetime.datetime(2020, 1, 1), datetime.datetime(2000, 1, 1)],
        "ts": [datetime.datetime(2024, 1, 31, 12, tzinfo=datetime.timezone.utc)] * 3,
        "n": [decimal.Decimal("1.5"), decimal.Decimal("-0.000000001"), None],
    })
    schema = [bigquery.SchemaField(*pair) for pair in (
        ("i", "INT64"), ("f", "FLOAT64"), ("b", "BOOL"), ("s", "STRING"), ("by", "BYTES"),
        ("d", "DATE"), ("t", "TIME"), ("dt", "DATETIME"), ("ts", "TIMESTAMP"), ("n", "NUMERIC"))]
    job = client.load_table_from_dataframe(
        frame, f"{dataset.dataset_id}.types",
        job_config=bigquery.LoadJobConfig(schema=schema, write_disposition="WRITE_TRUNCATE"))
    job.result()
    got = list(client.list_rows(f"{dataset.dataset_id}.types"))
    assert [r["i"] for r in got] == frame["i"].tolist()
    assert [r["f"] for r in got] == frame["f"].tolist()
    assert [r["s"] for r in got] == frame["s"].tolist()
    assert [r["by"] for r in got] == frame["by"].tolist()
    assert [r["d"] for r in got] == frame["d"].tolist()
    assert [r["t"] for r in got] == frame["t"].tolist()
    assert [r["dt"] for r in got] == [x.to_pydatetime() for x in frame["dt"]]
    assert [r["ts"] for r in got] == [x.to_pydatetime() for x in frame["ts"]]
    assert [r["n"] for r in got] == frame["n"].tolist()
    back = client.query(f"SELECT * FROM {dataset.dataset_id}.types").to_dataframe(
        create_bqstorage_client=False)
    assert back.shape == (3, 10) and back["i"].tolist() == frame["i"].tolist()
    # Without a schema, appended: the client reads the table's.
    client.load_table_from_dataframe(frame[["i", "s"]], f"{dataset.dataset_id}.types").result()
    assert client.get_table(f"{dataset.dataset_id}.types").num_rows == 6


def test_files_are_loaded(client, dataset, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,name,day\n1,one,2024-01-01\n2,\"two, 2\",2024-01-02\n")
    config = bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1, autodetect=True)
    with open(path, "rb") as file:
        job = client.load_table_from_file(file, f"{dataset.dataset_id}.c", job_config=config)
    job.result()
    assert job.output_rows == 2
    assert rows_of(client.query(f"SELECT id, name, day FROM {dataset.dataset_id}.c ORDER BY id")) == [
        (1, "one", datetime.date(2024, 1, 1)), (2, "two, 2", datetime.date(2024, 1, 2))]
    # A file over 5 MiB goes by a resumable upload.
    lines = "".join(json.dumps({"k": i, "text": "x" * 100}) + "\n" for i in range(60000))
    job = client.load_table_from_file(
        io.BytesIO(lines.encode()), f"{dataset.dataset_id}.big", size=len(lines),
        job_config=bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", schema=[
            bigquery.SchemaField("k", "INT64"), bigquery.SchemaField("text", "STRING")]))
    job.result()
    assert job.output_rows == 60000
    assert rows_of(client.query(f"SELECT SUM(k) FROM {dataset.dataset_id}.big")) == [(60000 * 59999 // 2,)]


def test_a_bad_file_fails_its_job_with_the_row(client, dataset):
    config = bigquery.LoadJobConfig(source_format="CSV", schema=[bigquery.SchemaField("n", "INT64")])
    job = client.load_table_from_file(io.BytesIO(b"1\nx\n"), f"{dataset.dataset_id}.bad",
                                      job_config=config)
    with pytest.raises(exceptions.BadRequest):
        job.result()
    assert job.errors
    config.max_bad_records = 1
    job = client.load_table_from_file(io.BytesIO(b"1\nx\n"), f"{dataset.dataset_id}.bad",
                                      job_config=config)
    job.result()
    assert job.output_rows == 1


def test_objects_are_loaded_and_tables_extracted(client, dataset, server):
    storage = pytest.importorskip("google.cloud.storage")
    gcs = storage.Client(project=PROJECT, credentials=AnonymousCredentials(),
                         client_options={"api_endpoint": server.url})
    bucket = gcs.create_bucket("files-of-tables")
    bucket.blob("in/1.csv").upload_from_string("a,b\n1,x\n")
    bucket.blob("in/2.csv").upload_from_string("a,b\n2,y\n")
    config = bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1, schema=[
        bigquery.SchemaField("a", "INT64"), bigquery.SchemaField("b", "STRING")])
    table = f"{PROJECT}.{dataset.dataset_id}.objects"
    job = client.load_table_from_uri("gs://files-of-tables/in/*.csv", table, job_config=config)
    job.result()
    assert job.output_rows == 2
    with pytest.raises(exceptions.NotFound):
        client.load_table_from_uri("gs://files-of-tables/none.csv", table, job_config=config).result()
    client.extract_table(table, "gs://files-of-tables/out/all.csv").result()
    assert sorted(bucket.blob("out/all.csv").download_as_text().split()) == ["1,x", "2,y", "a,b"]
    for form, name in (("NEWLINE_DELIMITED_JSON", "all.json"), ("PARQUET", "all.parquet")):
        client.extract_table(table, f"gs://files-of-tables/out/{name}",
                             job_config=bigquery.ExtractJobConfig(destination_format=form)).result()
        again = f"{PROJECT}.{dataset.dataset_id}.again_{name[4:]}"
        client.load_table_from_uri(f"gs://files-of-tables/out/{name}", again,
                                   job_config=bigquery.LoadJobConfig(source_format=form,
                                                                     autodetect=True)).result()
        assert client.get_table(again).num_rows == 2


def test_a_query_gives_rows_and_statistics(client):
    job = client.query("SELECT 1 AS a, 'x' AS b, [1, 2] AS c, STRUCT(1 AS p, 'q' AS r) AS d")
    rows = list(job.result())
    assert [tuple(r.values()) for r in rows] == [(1, "x", [1, 2], {"p": 1, "r": "q"})]
    assert job.state == "DONE" and job.statement_type == "SELECT" and job.total_bytes_processed == 0
    destination = client.get_table(job.destination)
    assert destination.num_rows == 1
    assert client.get_job(job.job_id).state == "DONE"
    assert job.job_id in [j.job_id for j in client.list_jobs(max_results=50)]
    assert rows_of(client.query_and_wait("SELECT 7 AS n")) == [(7,)]
    empty = client.query("SELECT 1 AS n LIMIT 0").result()
    assert empty.total_rows == 0 and [f.name for f in empty.schema] == ["n"]


def test_results_come_in_pages(client):
    sql = "SELECT n FROM UNNEST(GENERATE_ARRAY(1, 2500)) AS n ORDER BY n"
    rows = client.query(sql).result(page_size=1000)
    assert rows.total_rows == 2500 and [r.n for r in rows] == list(range(1, 2501))
    assert [r.n for r in client.query_and_wait(sql, page_size=999)] == list(range(1, 2501))
    assert len(client.query(sql).to_dataframe(create_bqstorage_client=False)) == 2500


def test_parameters_of_every_type(client):
    moment = datetime.datetime(2024, 1, 31, 12, 30, 1, 5, tzinfo=datetime.timezone.utc)
    values = [
        ("INT64", 7), ("FLOAT64", 1.5), ("BOOL", True), ("STRING", "it's"), ("BYTES", b"\x00\xff"),
        ("DATE", datetime.date(2024, 1, 31)), ("TIME", datetime.time(1, 2, 3, 4)),
        ("DATETIME", datetime.datetime(2024, 1, 31, 12, 30)), ("TIMESTAMP", moment),
        ("NUMERIC", decimal.Decimal("1.25")),
    ]
    for kind, value in values:
        config = bigquery.QueryJobConfig(query_parameters=[
            bigquery.ScalarQueryParameter("v", kind, value)])
        assert rows_of(client.query("SELECT @v AS v", job_config=config)) == [(value,)], kind
    config = bigquery.QueryJobConfig(query_parameters=[
        bigquery.ArrayQueryParameter("a", "INT64", [1, 2, 3]),
        bigquery.StructQueryParameter("s", bigquery.ScalarQueryParameter("x", "INT64", 5),
                                      bigquery.ScalarQueryParameter("y", "STRING", "z")),
        bigquery.ScalarQueryParameter("none", "STRING", None)])
    assert rows_of(client.query("SELECT 2 IN UNNEST(@a), @s.x, @s.y, @none IS NULL", job_config=config)) == [
        (True, 5, "z", True)]
    config = bigquery.QueryJobConfig(query_parameters=[
        bigquery.ScalarQueryParameter(None, "INT64", 1), bigquery.ScalarQueryParameter(None, "STRING", "b")])
    assert rows_of(client.query("SELECT ? + 1, ?", job_config=config)) == [(2, "b")]


def test_statements_change_tables_and_report_it(client, dataset):
    name = f"`{PROJECT}.{dataset.dataset_id}.s`"
    job = client.query(f"CREATE TABLE {name} (id INT64, name STRING)")
    job.result()
    assert (job.statement_type, job.ddl_operation_performed) == ("CREATE_TABLE", "CREATE")
    job = client.query(f"INSERT INTO {name} (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    assert list(job.result()) == [] and job.num_dml_affected_rows == 3
    job = client.query(f"UPDATE {name} SET name = 'z' WHERE id > 1")
    job.result()
    assert job.num_dml_affected_rows == 2 and job.dml_stats.updated_row_count == 2
    job = client.query(f"DELETE FROM {name} WHERE id = 3")
    job.result()
    assert job.num_dml_affected_rows == 1
    job = client.query(f"CREATE OR REPLACE TABLE {name} AS SELECT 9 AS id, 'n' AS name")
    job.result()
    assert job.statement_type == "CREATE_TABLE_AS_SELECT" and client.get_table(job.destination).num_rows == 1
    config = bigquery.QueryJobConfig(destination=f"{PROJECT}.{dataset.dataset_id}.copy_of",
                                     write_disposition="WRITE_TRUNCATE")
    client.query(f"SELECT id FROM {name}", job_config=config).result()
    assert rows_of(client.list_rows(f"{dataset.dataset_id}.copy_of")) == [(9,)]
    job = client.copy_table(f"{dataset.dataset_id}.copy_of", f"{dataset.dataset_id}.copied")
    job.result()
    assert rows_of(client.list_rows(f"{dataset.dataset_id}.copied")) == [(9,)]
    with pytest.raises(exceptions.Conflict):
        client.copy_table(f"{dataset.dataset_id}.copy_of", f"{dataset.dataset_id}.copied").result()


def test_a_default_dataset_and_a_script(client, dataset):
    config = bigquery.QueryJobConfig(default_dataset=f"{PROJECT}.{dataset.dataset_id}")
    job = client.query("CREATE TABLE x AS SELECT 1 AS a; INSERT INTO x VALUES (2); SELECT SUM(a) AS s FROM x;",
                       job_config=config)
    assert rows_of(job.result()) == [(3,)]
    assert job.statement_type == "SCRIPT" and job.num_child_jobs == 3
    assert len(list(client.list_jobs(parent_job=job))) == 3


def test_views_are_tables_that_a_query_makes(client, dataset):
    client.query(f"CREATE TABLE {dataset.dataset_id}.base AS SELECT 1 AS a UNION ALL SELECT 2").result()
    view = bigquery.Table(f"{PROJECT}.{dataset.dataset_id}.v")
    view.view_query = f"SELECT a * 10 AS b FROM `{PROJECT}.{dataset.dataset_id}.base`"
    client.create_table(view)
    found = client.get_table(view)
    assert found.table_type == "VIEW" and found.view_query == view.view_query and found.schema[0].name == "b"
    assert rows_of(client.query(f"SELECT b FROM {dataset.dataset_id}.v ORDER BY b")) == [(10,), (20,)]
    found.view_query = f"SELECT a AS c FROM `{PROJECT}.{dataset.dataset_id}.base`"
    assert client.update_table(found, ["view_query"]).schema[0].name == "c"


def test_rows_are_inserted_at_once_with_an_error_a_row(client, dataset):
    table = client.create_table(bigquery.Table(f"{PROJECT}.{dataset.dataset_id}.live", schema=[
        bigquery.SchemaField("id", "INT64", mode="REQUIRED"), bigquery.SchemaField("at", "TIMESTAMP"),
        bigquery.SchemaField("data", "JSON"), bigquery.SchemaField("tags", "STRING", mode="REPEATED")]))
    moment = datetime.datetime(2024, 1, 31, 12, tzinfo=datetime.timezone.utc)
    assert client.insert_rows(table, [{"id": 1, "at": moment, "data": {"a": [1]}, "tags": ["x"]}, {"id": 2}]) == []
    found = {r["id"]: r for r in client.list_rows(table)}
    assert found[1]["at"] == moment and found[1]["data"] == {"a": [1]} and found[1]["tags"] == ["x"]
    assert found[2]["at"] is None and found[2]["tags"] == []
    errors = client.insert_rows_json(table, [{"id": 3}, {"id": "x"}, {"id": 4, "more": 1}])
    assert [(e["index"], e["errors"][0]["reason"]) for e in sorted(errors, key=lambda e: e["index"])] == [
        (0, "stopped"), (1, "invalid"), (2, "invalid")]
    errors = client.insert_rows_json(table, [{"id": 3}, {}], skip_invalid_rows=True)
    assert [e["index"] for e in errors] == [1]
    assert client.insert_rows_json(table, [{"id": 4, "more": 1}], ignore_unknown_values=True) == []
    for _ in range(2):
        assert client.insert_rows_json(table, [{"id": 5}], row_ids=["same"]) == []
    assert sorted(r["id"] for r in client.list_rows(table)) == [1, 2, 3, 4, 5]


def test_a_dry_run_checks_and_runs_nothing(client, dataset):
    client.query(f"CREATE TABLE {dataset.dataset_id}.t AS SELECT 1 AS a").result()
    config = bigquery.QueryJobConfig(dry_run=True)
    job = client.query(f"SELECT a, 'x' AS b FROM {dataset.dataset_id}.t", job_config=config)
    assert job.dry_run and [f.name for f in job.schema] == ["a", "b"] and job.total_bytes_processed >= 0
    with pytest.raises(exceptions.BadRequest):
        client.query("SELECT FROM", job_config=config)


def test_mistakes_are_said_at_once(client, dataset):
    with pytest.raises(exceptions.BadRequest, match=r"Syntax error.* at \[1:"):
        client.query("SELECT 1 AS").result()
    with pytest.raises(exceptions.NotFound, match=f"Not found: Table shop:{dataset.dataset_id}.none"):
        client.query(f"SELECT * FROM {dataset.dataset_id}.none").result()
    with pytest.raises(exceptions.BadRequest, match="division by zero"):
        client.query("SELECT 1 / 0").result()
    with pytest.raises(exceptions.BadRequest):
        client.query("SELECT no_such_function(1)").result()
    with pytest.raises(exceptions.BadRequest):
        client.query("SELECT 1", job_config=bigquery.QueryJobConfig(use_legacy_sql=True)).result()
    job = client.query("SELECT 1", job_id="mine", job_retry=None)
    job.result()
    with pytest.raises(exceptions.Conflict, match="Already Exists: Job shop:US.mine"):
        client._connection.api_request(method="POST", path="/projects/shop/jobs", data={
            "jobReference": {"projectId": "shop", "jobId": "mine"},
            "configuration": {"query": {"query": "SELECT 1", "useLegacySql": False}}})


def test_labels_and_cancel(client):
    config = bigquery.QueryJobConfig(labels={"app": "test"})
    job = client.query("SELECT 1", job_config=config)
    job.result()
    assert client.get_job(job.job_id).labels == {"app": "test"}
    assert job.cancel()
    client.delete_job_metadata(job.job_id)
    with pytest.raises(exceptions.NotFound):
        client.get_job(job.job_id)


def test_a_session_keeps_temporary_tables(client):
    job = client.query("CREATE TEMP TABLE mine AS SELECT 5 AS a",
                       job_config=bigquery.QueryJobConfig(create_session=True))
    job.result()
    session = job.session_info.session_id
    assert session
    config = bigquery.QueryJobConfig(connection_properties=[
        bigquery.query.ConnectionProperty("session_id", session)])
    assert rows_of(client.query("SELECT a FROM mine", job_config=config)) == [(5,)]
    with pytest.raises(exceptions.BadRequest, match="must be qualified with a dataset"):
        client.query("SELECT a FROM mine").result()
    client.query(f"CALL BQ.ABORT_SESSION('{session}')", job_config=config).result()


def test_schema_updates_of_loads(client, dataset):
    table = f"{PROJECT}.{dataset.dataset_id}.wider"
    client.load_table_from_json([{"a": 1}], table).result()
    config = bigquery.LoadJobConfig(
        write_disposition="WRITE_APPEND", autodetect=False,
        schema=[bigquery.SchemaField("a", "INT64"), bigquery.SchemaField("b", "STRING")],
        schema_update_options=["ALLOW_FIELD_ADDITION"])
    client.load_table_from_json([{"a": 2, "b": "x"}], table, job_config=config).result()
    assert rows_of(client.query(f"SELECT a, b FROM `{table}` ORDER BY a")) == [(1, None), (2, "x")]


def test_jobs_and_results_are_there_after_a_restart(tmp_path):
    from server import Server
    running = Server(tmp_path)
    try:
        client = bigquery.Client(project=PROJECT, credentials=AnonymousCredentials(),
                                 client_options={"api_endpoint": running.url})
        client.create_dataset("kept")
        client.query("CREATE TABLE kept.t AS SELECT 1 AS a").result()
        job = client.query("SELECT a + 1 AS b FROM kept.t")
        job.result()
        running.kill()
        running.start()
        client = bigquery.Client(project=PROJECT, credentials=AnonymousCredentials(),
                                 client_options={"api_endpoint": running.url})
        assert rows_of(client.get_job(job.job_id).result()) == [(2,)]
        assert rows_of(client.list_rows("kept.t")) == [(1,)]
    finally:
        assert running.stop() == 0


def test_another_projects_tables_are_not_there(tmp_path):
    import subprocess
    from google.auth.exceptions import RefreshError
    from google.oauth2.credentials import Credentials
    from server import PROGRAM, Server
    running = Server(tmp_path)
    try:
        keys = {}
        for project in ("one", "two"):
            made = subprocess.run([PROGRAM, "keys", "create", "--project", project, "--role", "user", "--json",
                                   *running.place], capture_output=True, text=True, check=True)
            keys[project] = json.loads(made.stdout)["key"]
        clients = {name: bigquery.Client(project=name, credentials=Credentials(key),
                                         client_options={"api_endpoint": running.url})
                   for name, key in keys.items()}
        clients["one"].create_dataset("d")
        clients["one"].query("CREATE TABLE d.t AS SELECT 1 AS a").result()
        other = clients["two"]
        with pytest.raises(exceptions.Forbidden):
            other.get_table("one.d.t")
        with pytest.raises((exceptions.Forbidden, exceptions.NotFound)):
            other.query("SELECT * FROM one.d.t").result()
        with pytest.raises(exceptions.Forbidden):
            other.copy_table("one.d.t", "two.d.t").result()
        with pytest.raises(exceptions.Forbidden):
            list(bigquery.Client(project="one", credentials=Credentials(keys["two"]),
                                 client_options={"api_endpoint": running.url}).list_datasets())
        with pytest.raises(RefreshError):  # the client's answer to 401
            list(bigquery.Client(project="one", credentials=Credentials("nonsense"),
                                 client_options={"api_endpoint": running.url}).list_datasets())
    finally:
        assert running.stop() == 0
