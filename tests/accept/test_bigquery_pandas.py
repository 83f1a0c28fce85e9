"""pandas-gbq, sqlalchemy-bigquery, and Google's generic client by the discovery document, on tables of the service."""
import pytest

bigquery = pytest.importorskip("google.cloud.bigquery")
pandas = pytest.importorskip("pandas")
pandas_gbq = pytest.importorskip("pandas_gbq")

from google.auth.credentials import AnonymousCredentials  # noqa: E402


@pytest.fixture(scope="module")
def client(server):
    return bigquery.Client(project="lab", credentials=AnonymousCredentials(),
                           client_options={"api_endpoint": server.url})


def test_a_dataframe_goes_to_a_table_and_back_by_pandas_gbq(server, client, monkeypatch):
    # pandas-gbq makes clients of its own for tables; the variable is for those.
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
    anonymous = AnonymousCredentials()
    frame = pandas.DataFrame({"id": [1, 2, 3], "name": ["a", "b", "c"], "score": [0.5, 1.5, None]})
    pandas_gbq.to_gbq(frame, "reviews.scores", project_id="lab", credentials=anonymous)
    back = pandas_gbq.read_gbq("SELECT * FROM reviews.scores ORDER BY id", project_id="lab",
                               credentials=anonymous, progress_bar_type=None)
    assert back["id"].tolist() == [1, 2, 3] and back["name"].tolist() == ["a", "b", "c"]
    assert back["score"].isna().tolist() == [False, False, True]
    pandas_gbq.to_gbq(frame, "reviews.scores", project_id="lab", credentials=anonymous, if_exists="append")
    assert client.get_table("reviews.scores").num_rows == 6
    pandas_gbq.to_gbq(frame, "reviews.scores", project_id="lab", credentials=anonymous, if_exists="replace")
    assert client.get_table("reviews.scores").num_rows == 3
    with pytest.raises(pandas_gbq.gbq.TableCreationError):
        pandas_gbq.to_gbq(frame, "reviews.scores", project_id="lab", credentials=anonymous)


def test_sqlalchemy_reads_writes_and_reflects(server, client):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    pytest.importorskip("sqlalchemy_bigquery")
    client.create_dataset("alchemy", exists_ok=True)
    client = bigquery.Client(project="lab", credentials=AnonymousCredentials(),
                             client_options={"api_endpoint": server.url},
                             default_query_job_config=bigquery.QueryJobConfig(default_dataset="lab.alchemy"))
    engine = sqlalchemy.create_engine("bigquery://lab/alchemy?user_supplied_client=True", connect_args={"client": client})
    metadata = sqlalchemy.MetaData()
    people = sqlalchemy.Table("people", metadata, sqlalchemy.Column("id", sqlalchemy.Integer),
                              sqlalchemy.Column("name", sqlalchemy.String))
    metadata.create_all(engine)
    with engine.connect() as connection:
        connection.execute(people.insert(), [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}])
        connection.commit()
        found = connection.execute(sqlalchemy.select(people.c.name).where(people.c.id > 1)).fetchall()
        assert [tuple(r) for r in found] == [("y",)]
        assert connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(people)).scalar() == 2
    inspector = sqlalchemy.inspect(engine)
    assert "people" in inspector.get_table_names()
    assert [c["name"] for c in inspector.get_columns("people")] == ["id", "name"]
    people.drop(engine)
    assert "people" not in sqlalchemy.inspect(engine).get_table_names()


def test_the_database_api_of_python(client):
    from google.cloud.bigquery import dbapi
    connection = dbapi.connect(client, prefer_bqstorage_client=False)
    cursor = connection.cursor()
    cursor.execute("SELECT x, x * 2 FROM UNNEST([1, 2, 3]) AS x WHERE x > %s ORDER BY x", (1,))
    assert [tuple(r.values()) for r in cursor.fetchall()] == [(2, 4), (3, 6)]
    connection.close()


def test_the_discovery_document_makes_a_client(server, client):
    discovery = pytest.importorskip("googleapiclient.discovery")
    import httplib2
    for url in ("/discovery/v1/apis/{api}/{apiVersion}/rest", "/$discovery/rest?version={apiVersion}"):
        api = discovery.build("bigquery", "v2", http=httplib2.Http(timeout=60), discoveryServiceUrl=server.url + url,
                              static_discovery=False)
        client.create_dataset("found", exists_ok=True)
        listed = api.datasets().list(projectId="lab").execute()
        assert "found" in [d["datasetReference"]["datasetId"] for d in listed["datasets"]]
        api.tables().insert(projectId="lab", datasetId="found", body={
            "tableReference": {"projectId": "lab", "datasetId": "found", "tableId": "t"},
            "schema": {"fields": [{"name": "a", "type": "INTEGER"}]}}).execute()
        api.tabledata().insertAll(projectId="lab", datasetId="found", tableId="t",
                                  body={"rows": [{"json": {"a": 7}}]}).execute()
        rows = api.tabledata().list(projectId="lab", datasetId="found", tableId="t", maxResults=5).execute()
        assert rows["rows"] == [{"f": [{"v": "7"}]}]
        answer = api.jobs().query(projectId="lab", body={"query": "SELECT 1 AS a", "useLegacySql": False}).execute()
        assert answer["rows"] == [{"f": [{"v": "1"}]}]
        api.tables().delete(projectId="lab", datasetId="found", tableId="t").execute()


def test_both_roots_and_small_lists(server):
    import json
    import urllib.request
    for base in ("/bigquery/v2", ""):
        for path in ("/projects", "/projects/lab/datasets", "/projects/lab/serviceAccount",
                     "/projects/lab/datasets/d/routines", "/projects/lab/datasets/d/models"):
            with urllib.request.urlopen(server.url + base + path, timeout=60) as answer:
                json.load(answer)
