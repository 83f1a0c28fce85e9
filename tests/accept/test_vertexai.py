"""google-cloud-aiplatform (and vertexai) over REST, unmodified."""
import json

import pytest

from server import lines

aiplatform = pytest.importorskip("google.cloud.aiplatform")
vertexai = pytest.importorskip("vertexai")
from google.auth.credentials import AnonymousCredentials  # noqa: E402


@pytest.fixture
def client(server):
    vertexai.init(project="p1", location="us-central1", credentials=AnonymousCredentials(),
                  api_endpoint=server.url, api_transport="rest")
    aiplatform.init(project="p1", location="us-central1", credentials=AnonymousCredentials(),
                    api_endpoint=server.url, api_transport="rest")


def test_a_batch_prediction_job_is_made_waited_for_and_deleted(server, client):
    from vertexai.batch_prediction import BatchPredictionJob
    server.upload("vbucket1", "in.jsonl", lines(3))
    job = BatchPredictionJob.submit(source_model="gemini-2.5-flash",
                                    input_dataset="gs://vbucket1/in.jsonl",
                                    output_uri_prefix="gs://vbucket1/out")
    while not job.has_ended:
        job.refresh()
    assert job.has_succeeded, job.error
    assert job.output_location.startswith("gs://vbucket1/out/prediction-model-")
    bucket, _, prefix = job.output_location.removeprefix("gs://").partition("/")
    rows = server.download(bucket, prefix + "/predictions.jsonl").splitlines()
    assert [json.loads(row)["key"] for row in rows] == ["k0", "k1", "k2"]
    assert job.name in [j.name for j in BatchPredictionJob.list(filter='display_name:"*"')]
    job.delete()
    assert job.name not in [j.name for j in BatchPredictionJob.list()]


def test_a_job_is_cancelled(server, client):
    from vertexai.batch_prediction import BatchPredictionJob
    slow = '{"request":{"contents":[{"parts":[{"text":"x"}]}],"labels":{"tranche-test":"hang"}}}\n'
    server.upload("vbucket2", "in.jsonl", slow)
    job = BatchPredictionJob.submit(source_model="gemini-2.5-flash",
                                    input_dataset="gs://vbucket2/in.jsonl",
                                    output_uri_prefix="gs://vbucket2/out")
    job.cancel()
    while not job.has_ended:
        job.refresh()
    assert job.state.name == "JOB_STATE_CANCELLED"


def test_the_job_service_client_lists_by_filter(server, client):
    jobs = aiplatform.BatchPredictionJob.list(filter='state="JOB_STATE_SUCCEEDED"')
    assert all(job.state.name == "JOB_STATE_SUCCEEDED" for job in jobs)
