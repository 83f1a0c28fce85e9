"""Embeddings by the embedded model, with Google's clients: the Gen AI SDK in both dialects, and vertexai."""
import json
import math
import time

import pytest

from server import Server

genai = pytest.importorskip("google.genai")
from google.genai import errors, types  # noqa: E402

MODEL = "text-embedding-005"
NEAR = ["How do I reset my password?", "I forgot my login; what can I do?", "Do you like pizza?"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Without test mode, in which the fake answers every model."""
    running = Server(tmp_path_factory.mktemp("serve"))
    yield running
    assert running.stop() == 0


@pytest.fixture
def vertex(server):
    return genai.Client(vertexai=True, api_key="any", project="p1", location="us-central1",
                        http_options={"base_url": server.url})


@pytest.fixture
def gemini(server):
    return genai.Client(api_key="any", http_options={"base_url": server.url})


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def finish(client, job):
    while not job.done:
        time.sleep(0.05)
        job = client.batches.get(name=job.name)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED, job.error
    return job


def test_near_texts_are_nearer_in_both_dialects(vertex, gemini):
    vectors = {}
    for name, client in (("vertex", vertex), ("gemini", gemini)):
        answer = client.models.embed_content(model=MODEL, contents=NEAR)
        vectors[name] = [e.values for e in answer.embeddings]
        assert [len(v) for v in vectors[name]] == [384] * 3
        password, login, pizza = vectors[name]
        assert cosine(password, login) > cosine(password, pizza) + 0.3
    assert vectors["vertex"] == vectors["gemini"]


def test_statistics_say_what_was_cut(vertex):
    answer = vertex.models.embed_content(model=MODEL, contents=["a text", "word " * 300])
    short, long = (e.statistics for e in answer.embeddings)
    assert (short.token_count, short.truncated) == (4, False)
    assert (long.token_count, long.truncated) == (256, True)
    with pytest.raises(errors.ClientError, match="has 302 tokens, but all-minilm-l6-v2 takes 256"):
        vertex.models.embed_content(model=MODEL, contents="word " * 300, config={"auto_truncate": False})


def test_dimensions_have_the_models_limit(gemini):
    for dimensions in (1, 384):
        answer = gemini.models.embed_content(model=MODEL, contents="x", config={"output_dimensionality": dimensions})
        assert math.hypot(*answer.embeddings[0].values) == pytest.approx(1, abs=1e-6)
        assert len(answer.embeddings[0].values) == dimensions
    with pytest.raises(errors.ClientError, match="385 dimensions were asked for, but all-minilm-l6-v2 has 384"):
        gemini.models.embed_content(model=MODEL, contents="x", config={"output_dimensionality": 385})


def test_a_model_that_generates_names_the_mistake(gemini):
    with pytest.raises(errors.ClientError, match="generates no text"):
        gemini.models.generate_content(model=MODEL, contents="hi")


def test_batches_of_embeddings_are_inline_and_files(gemini, tmp_path):
    job = finish(gemini, gemini.batches.create_embeddings(model=MODEL, src={"inlined_requests": {
        "contents": [{"parts": [{"text": t}]} for t in NEAR], "config": {"output_dimensionality": 100}}}))
    answers = [a.response.embedding.values for a in job.dest.inlined_embed_content_responses]
    assert [len(v) for v in answers] == [100] * 3 and cosine(answers[0], answers[1]) > cosine(answers[0], answers[2])
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"key": str(i), "request": {"content": {"parts": [{"text": t}]}}}) + "\n"
                            for i, t in enumerate(NEAR)))
    uploaded = gemini.files.upload(file=path, config={"mime_type": "jsonl"})
    job = finish(gemini, gemini.batches.create_embeddings(model=MODEL, src={"file_name": uploaded.name}))
    rows = [json.loads(line) for line in gemini.files.download(file=job.dest.file_name).splitlines()]
    assert [len(row["response"]["embedding"]["values"]) for row in rows] == [384] * 3


def test_a_vertex_job_embeds_a_file(server, vertex):
    server.upload("embed1", "in.jsonl", "".join(json.dumps({"key": str(i), "request": {
        "content": {"parts": [{"text": t}]}, "embed_content_config": {"output_dimensionality": 50}}}) + "\n"
        for i, t in enumerate(NEAR)))
    job = finish(vertex, vertex.batches.create(model=MODEL, src="gs://embed1/in.jsonl", config={"dest": "gs://embed1/out"}))
    bucket, _, name = job.output_info.gcs_output_directory.removeprefix("gs://").partition("/")
    rows = [json.loads(line) for line in server.download(bucket, name + "/predictions.jsonl").splitlines()]
    assert [(row["key"], len(row["response"]["embedding"]["values"])) for row in rows] == [
        ("0", 50), ("1", 50), ("2", 50)]
