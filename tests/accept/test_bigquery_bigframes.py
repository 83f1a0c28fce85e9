"""BigQuery DataFrames (bigframes), unmodified: Google's notebooks "Evaluating prompts at scale with Gemini Batch
Prediction API" and "Intro to Batch Predictions using BigQuery input", step by step over data of our own. Addresses and
credentials are the service's; jobs are made by google-genai, since the class of the notebooks has left its package."""
import datetime
import json
import time

import pytest

bpd = pytest.importorskip("bigframes.pandas")
from google import genai  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import bigquery  # noqa: E402
import pandas as pd  # noqa: E402
import pandas_gbq  # noqa: E402

from server import Server  # noqa: E402

PROJECT, LOCATION, MODEL = "lab", "us-central1", "gemini-2.5-flash"
LABELS = {"a/ball.jpg": "baseball", "a/net.jpg": "tennis", "b/court.jpg": "tennis", "b/hoop.jpg": "basketball"}
# The fake answers one word for each picture, and one of them wrongly.
CONFIG = """models:
  - name: "gemini-*"
    kind: fake
    fake:
      answers:
""" + "".join(f"""        - match: "{path}"
          text: '{{"sport": "{"volleyball" if path == "b/court.jpg" else label}"}}'
""" for path, label in LABELS.items())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("serve"), "--test-clock", config=CONFIG)
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def client(server):
    return bigquery.Client(project=PROJECT, credentials=AnonymousCredentials(),
                           client_options={"api_endpoint": server.url})


@pytest.fixture(scope="module", autouse=True)
def session(server):
    """As docs/guides/bigquery-stand-in.md has it."""
    options = bpd.options.bigquery
    options.project, options.location = PROJECT, LOCATION
    options.credentials = AnonymousCredentials()
    options.client_endpoints_override = {"bqclient": server.url}
    bpd.options.display.progress_bar = None
    yield
    bpd.close_session()


def make_dataset(client, name):
    """In the session's location: frames of another one are refused by the client."""
    made = bigquery.Dataset(f"{PROJECT}.{name}")
    made.location = LOCATION
    client.create_dataset(made, timeout=30)


def finish(server, source, destination):
    """A batch job from table to table, polled to its end."""
    vertex = genai.Client(vertexai=True, api_key="any", project=PROJECT, location=LOCATION,
                          http_options={"base_url": server.url})
    job = vertex.batches.create(model=MODEL, src=f"bq://{source}", config={"dest": f"bq://{destination}"})
    deadline = time.monotonic() + 60
    while not job.done:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
        job = vertex.batches.get(name=job.name)
    assert job.state.name == "JOB_STATE_SUCCEEDED", job.error
    return job.dest.bigquery_uri.removeprefix("bq://")


def test_prompts_are_evaluated_at_scale(server, client, monkeypatch):
    dataset, files = f"{PROJECT}.predictions", "predictions.files"
    server.upload("pictures", "files.csv", "path,label\n" + "".join(f"{p},{n}\n" for p, n in LABELS.items()))
    make_dataset(client, "predictions")
    client.load_table_from_uri("gs://pictures/files.csv", files, job_config=bigquery.LoadJobConfig(
        schema=[bigquery.SchemaField("path", "STRING"), bigquery.SchemaField("label", "STRING")],
        skip_leading_rows=1, source_format="CSV", write_disposition="WRITE_TRUNCATE")).result()
    assert client.get_table(files).num_rows == len(LABELS)

    truth = bpd.read_gbq(files)
    assert len(truth["path"][:2]) == 2 and truth.iloc[0]["path"] in LABELS
    now = datetime.datetime.now()
    evaluation = f"{now.year}_{now.month}_{now.day}_{now.hour}_{now.minute}"
    prompts = pd.DataFrame([{
        "evaluation_ts": str(now), "evaluation_id": evaluation, "prompt_text": "Which sport?", "gcs_uri": path,
        "request": json.dumps({
            "contents": [{"role": "user", "parts": [{"text": f"Which sport? {path}"}]}],
            "generationConfig": {"responseMimeType": "application/json"}})} for path in truth["path"].values])
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
    pandas_gbq.to_gbq(prompts, f"{dataset}.prompts", PROJECT, credentials=AnonymousCredentials())
    assert client.get_table(f"{dataset}.prompts").num_rows == len(LABELS)

    results = f"{dataset}.results_{evaluation}"
    assert finish(server, f"{dataset}.prompts", results) == results
    for row in bpd.read_gbq(results)["response"][:5]:
        answer = json.loads(row) if isinstance(row, str) else row
        assert "sport" in json.loads(answer["candidates"][0]["content"]["parts"][0]["text"])

    view = bigquery.Table(f"{dataset}.extraction_results")
    view.view_query = rf"""
        SELECT evaluation_id, evaluation_ts, prompt_text, gcs_uri,
          JSON_VALUE(JSON_VALUE(response, '$.candidates[0].content.parts[0].text'), "$.sport") AS label
        FROM `{dataset}.results_*`"""
    client.create_table(view, exists_ok=False)
    view = bigquery.Table(f"{dataset}.evaluation")
    view.view_query = f"""
        WITH t1 AS (
          SELECT e.evaluation_id, e.prompt_text, f.path, f.label, f.label = e.label AS correct
          FROM `{files}` f JOIN `{dataset}.extraction_results` e ON f.path = e.gcs_uri)
        SELECT evaluation_id, prompt_text, path, label, correct FROM t1"""
    client.create_table(view, exists_ok=False)
    frame = bpd.read_gbq(f"{dataset}.evaluation")
    assert frame["correct"].mean() == 0.75
    assert frame[frame["correct"] == False]["path"].to_pandas().tolist() == ["b/court.jpg"]  # noqa: E712


def test_a_first_batch_prediction_with_a_table(server, client):
    client.create_dataset("intro", exists_ok=True)
    client.load_table_from_json([{"id": i, "request": json.dumps(
        {"contents": [{"role": "user", "parts": [{"text": f"Describe {i}"}]}]})} for i in range(3)],
        "intro.requests").result()
    frame = client.query(f"SELECT * FROM {PROJECT}.intro.requests").result().to_dataframe(
        create_bqstorage_client=False)
    assert len(frame) == 3
    output = finish(server, f"{PROJECT}.intro.requests", f"{PROJECT}.intro.prediction_result_1")
    frame = client.query(f"SELECT * FROM {output}").result().to_dataframe(create_bqstorage_client=False)
    assert sorted(frame["id"]) == [0, 1, 2] and (frame["status"] == "").all()


def test_dataframes_are_computed_by_the_service(client):
    make_dataset(client, "frames")
    local = pd.DataFrame({"label": ["good", "bad", "good", None], "n": [1, 2, 3, 4], "x": [0.5, 1.5, None, 2.5]})
    frame = bpd.read_pandas(local)
    frame["twice"] = frame["n"] * 2
    frame["upper"] = frame["label"].str.upper()
    assert frame.shape == (4, 5) and frame["twice"].sum() == 20
    counted = frame.groupby("label")["n"].agg(["sum", "count"]).to_pandas()
    assert counted.loc["good"].tolist() == [4, 2] and counted.loc["bad"].tolist() == [2, 1]
    assert frame["label"].value_counts().to_pandas()["good"] == 2
    assert frame.dropna().sort_values("n", ascending=False)["upper"].to_pandas().tolist() == ["BAD", "GOOD"]
    both = frame.merge(bpd.read_pandas(pd.DataFrame({"label": ["good"], "score": [10]})), on="label", how="left")
    assert both["score"].sum() == 20
    described = frame[["n", "x"]].describe().to_pandas()
    assert described.loc["mean", "n"] == 2.5
    frame.to_gbq(f"{PROJECT}.frames.kept", if_exists="replace")
    again = bpd.read_gbq(f"{PROJECT}.frames.kept")
    assert sorted(again["twice"].to_pandas()) == [2, 4, 6, 8]
    query = bpd.read_gbq("SELECT label, SUM(n) AS n FROM frames.kept GROUP BY label ORDER BY label")
    assert sorted(query.to_pandas()["n"]) == [2, 4, 4]
    assert bpd.read_gbq(f"{PROJECT}.frames.kept", columns=["n"], filters=[("n", ">", 2)]).shape == (2, 1)


def test_more_than_fits_a_statement_goes_by_a_loaded_file(client):
    frame = bpd.read_pandas(pd.DataFrame({"n": range(5000), "text": [f"row {i}" for i in range(5000)]}))
    assert frame["n"].sum() == sum(range(5000))
    assert len(frame.to_pandas()) == 5000
