"""vertexai's TextEmbeddingModel over REST, unmodified: calls, and a batch of instances."""
import json

import pytest

from server import Server

vertexai = pytest.importorskip("vertexai")
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import aiplatform  # noqa: E402
from vertexai.language_models import TextEmbeddingInput, TextEmbeddingModel  # noqa: E402

MODEL = "text-embedding-005"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Without test mode, in which the fake answers every model."""
    running = Server(tmp_path_factory.mktemp("serve"))
    yield running
    assert running.stop() == 0


@pytest.fixture
def model(server):
    for library in (vertexai, aiplatform):
        library.init(project="p1", location="us-central1", credentials=AnonymousCredentials(),
                     api_endpoint=server.url, api_transport="rest")
    return TextEmbeddingModel.from_pretrained(MODEL)


def test_texts_are_embedded(model):
    answers = model.get_embeddings(["a text", TextEmbeddingInput("hello", "RETRIEVAL_DOCUMENT", "a title")])
    assert [len(a.values) for a in answers] == [384, 384]
    assert answers[0].statistics.token_count == 4 and not answers[0].statistics.truncated
    assert [len(a.values) for a in model.get_embeddings(["a text"], output_dimensionality=7)] == [7]


def test_a_batch_of_instances_has_predictions(server, model):
    server.upload("embed2", "in.jsonl", '{"content":"hello world"}\n{"content":"word ' + "word " * 300 + '"}\n')
    job = model.batch_predict(dataset="gs://embed2/in.jsonl", destination_uri_prefix="gs://embed2/out")
    job.wait_for_completion()
    assert job.state.name == "JOB_STATE_SUCCEEDED", job.error
    bucket, _, prefix = job.output_info.gcs_output_directory.removeprefix("gs://").partition("/")
    rows = [json.loads(line) for line in server.download(bucket, prefix + "/predictions.jsonl").splitlines()]
    assert [row["instance"]["content"][:5] for row in rows] == ["hello", "word "]
    statistics = [row["predictions"][0]["embeddings"]["statistics"] for row in rows]
    assert statistics == [{"token_count": 4, "truncated": False}, {"token_count": 256, "truncated": True}]
    assert all(len(row["predictions"][0]["embeddings"]["values"]) == 384 and row["status"] == "" for row in rows)
