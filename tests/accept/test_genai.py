"""google-genai for Python, unmodified, both dialects, sync and async."""
import asyncio
import io
import json
import time

import pytest

from server import Server, line, lines, wait_until

genai = pytest.importorskip("google.genai")
from google.genai import errors, types  # noqa: E402

MODEL = "tranche-fake"


@pytest.fixture
def vertex(server):
    return genai.Client(vertexai=True, api_key="any", project="p1", location="us-central1",
                        http_options={"base_url": server.url})


@pytest.fixture
def gemini(server):
    return genai.Client(api_key="any", http_options={"base_url": server.url})


def finish(client, job, seconds=60):
    """Polls as Google's own examples do."""
    deadline = time.monotonic() + seconds
    while not job.done:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
        job = client.batches.get(name=job.name)
    return job


def output_rows(server, job):
    directory = job.dest.gcs_uri if hasattr(job.dest, "gcs_uri") else None
    info = job.output_info.gcs_output_directory if job.output_info else directory
    bucket, _, prefix = info.removeprefix("gs://").partition("/")
    return [json.loads(row) for row in
            server.download(bucket, prefix + "/predictions.jsonl").splitlines()]


# ---- Vertex ----

def test_a_vertex_job_runs_from_its_object_to_its_output(server, vertex):
    server.upload("bucket1", "in.jsonl", lines(5))
    job = vertex.batches.create(model=MODEL, src="gs://bucket1/in.jsonl",
                                config={"display_name": "first", "dest": "gs://bucket1/out"})
    assert job.state == types.JobState.JOB_STATE_PENDING
    assert job.name.startswith("projects/p1/locations/us-central1/batchPredictionJobs/")
    job = finish(vertex, job)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert job.completion_stats.successful_count == 5
    assert job.display_name == "first" and job.start_time and job.end_time >= job.start_time
    rows = output_rows(server, job)
    assert [row["key"] for row in rows] == [f"k{i}" for i in range(5)]
    assert all(row["status"] == "" for row in rows)
    text = rows[2]["response"]["candidates"][0]["content"]["parts"][0]["text"]
    assert text == "echo: request 2"


def test_several_uris_with_wildcards_are_read_in_order(server, vertex):
    for name, key in (("w/a1.jsonl", "a1"), ("w/a2.jsonl", "a2"), ("w/b.jsonl", "b")):
        server.upload("bucket2", name.replace("/", "%2F"), line(key, key=key) + "\n")
    job = vertex.batches.create(
        model=MODEL, config={"dest": "gs://bucket2/out"},
        src={"gcs_uri": ["gs://bucket2/w/b.jsonl", "gs://bucket2/w/a*.jsonl"], "format": "jsonl"})
    job = finish(vertex, job)
    assert [row["key"] for row in output_rows(server, job)] == ["b", "a1", "a2"]


def test_a_missing_input_fails_the_job_later_not_the_create(server, vertex):
    job = vertex.batches.create(model=MODEL, src="gs://no-such-bucket-1/in.jsonl",
                                config={"dest": "gs://bucket1/out"})
    job = finish(vertex, job)
    assert job.state == types.JobState.JOB_STATE_FAILED
    assert job.error.code == 9
    assert "Failed to get GCS bucket location for no-such-bucket-1" in job.error.message


def test_an_output_that_cannot_be_written_fails_at_create(vertex):
    with pytest.raises(errors.ClientError) as caught:
        vertex.batches.create(model=MODEL, src="gs://bucket1/in.jsonl",
                              config={"dest": "gs://no-such-bucket-1/out"})
    assert caught.value.code == 400
    assert "Failed to get GCS bucket location for no-such-bucket-1" in caught.value.message


def test_an_unknown_model_fails_at_create(tmp_path):
    plain = Server(tmp_path)  # with --test-clock the fake answers every name
    client = genai.Client(vertexai=True, api_key="any", project="p1", location="us-central1",
                          http_options=types.HttpOptions(base_url=plain.url))
    with pytest.raises(errors.ClientError) as caught:
        client.batches.create(model="no-such-model", src="gs://bucket1/in.jsonl",
                              config={"dest": "gs://bucket1/out"})
    assert caught.value.code == 404
    assert "no-such-model does not exist" in caught.value.message
    assert plain.stop() == 0


def test_bad_lines_become_rows_and_the_job_succeeds(server, vertex):
    server.upload("bucket3", "in.jsonl", line("good", key="g") + "\n" +
                  '{"key":"t","request":{"contents":[{"parts":[{"text":"x"}],"role":"tester"}]}}\n' +
                  "no json\n")
    job = finish(vertex, vertex.batches.create(model=MODEL, src="gs://bucket3/in.jsonl",
                                               config={"dest": "gs://bucket3/out"}))
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (1, 2)
    rows = output_rows(server, job)
    assert rows[1]["response"] == {} and rows[1]["status"].startswith("Bad Request: {\"error\"")
    assert "Please use a valid role: user, model." in rows[1]["status"]


def test_list_filters_pages_and_ends(server, vertex):
    server.upload("bucket4", "in.jsonl", lines(1))
    for name in ("page-a", "page-b", "other"):
        vertex.batches.create(model=MODEL, src="gs://bucket4/in.jsonl",
                              config={"dest": "gs://bucket4/out", "display_name": name})
    found = list(vertex.batches.list(config={"page_size": 1, "filter": 'display_name:"page-*"'}))
    assert [job.display_name for job in found] == ["page-b", "page-a"]
    assert list(vertex.batches.list(config={"filter": 'display_name="nobody"'})) == []


def test_a_queued_job_is_cancelled_and_deleted(server, vertex):
    server.upload("bucket5", "in.jsonl", lines(3))
    job = vertex.batches.create(model=MODEL, src="gs://bucket5/in.jsonl", config={
        "dest": "gs://bucket5/out", "http_options": {"headers": {"x-tranche-test": "hang"}}})
    vertex.batches.cancel(name=job.name)
    job = finish(vertex, job)
    assert job.state == types.JobState.JOB_STATE_CANCELLED
    with pytest.raises(errors.ClientError) as caught:
        vertex.batches.cancel(name=job.name)
    assert caught.value.code == 400
    done = vertex.batches.delete(name=job.name)
    assert done.done
    with pytest.raises(errors.ClientError) as caught:
        vertex.batches.get(name=job.name)
    assert caught.value.code == 404


def test_a_cancelled_job_returns_what_was_done_and_lists_the_rest(server, vertex):
    slow = '{"key":"slow","request":{"contents":[{"parts":[{"text":"x"}]}],"labels":{"tranche-test":"hang"}}}'
    server.upload("bucket6", "in.jsonl", lines(3) + slow + "\n")
    job = vertex.batches.create(model=MODEL, src="gs://bucket6/in.jsonl", config={"dest": "gs://bucket6/out"})
    path = "/v1/" + job.name

    def three_done():
        return server.call("GET", path)[1].get("completionStats", {}).get("successfulCount") == "3"
    wait_until(three_done)
    vertex.batches.cancel(name=job.name)
    job = finish(vertex, job)
    assert job.state == types.JobState.JOB_STATE_CANCELLED
    rows = output_rows(server, job)
    assert [row["status"] == "" for row in rows] == [True, True, True, False]
    assert "cancelled before this line was run" in rows[3]["status"]


def test_a_job_that_waits_too_long_expires(server, vertex):
    slow = '{"request":{"contents":[{"parts":[{"text":"x"}]}],"labels":{"tranche-test":"hang"}}}'
    server.upload("bucket7", "in.jsonl", lines(2) + slow + "\n")
    job = vertex.batches.create(model=MODEL, src="gs://bucket7/in.jsonl", config={"dest": "gs://bucket7/out"})
    wait_until(lambda: server.call("GET", "/v1/" + job.name)[1]
               .get("completionStats", {}).get("successfulCount") == "2")
    server.advance(25 * 3600)
    job = finish(vertex, job)
    assert job.state == types.JobState.JOB_STATE_EXPIRED
    rows = output_rows(server, job)
    assert [row["status"] == "" for row in rows] == [True, True, False]


def test_online_and_batch_answer_alike(server, vertex):
    answer = vertex.models.generate_content(model=MODEL, contents="request 0")
    assert answer.text == "echo: request 0"
    assert answer.usage_metadata.total_token_count > 0
    streamed = "".join(c.text for c in
                       vertex.models.generate_content_stream(model=MODEL, contents="hello"))
    assert streamed == "echo: hello"
    assert vertex.models.count_tokens(model=MODEL, contents="one two").total_tokens > 0


def test_the_async_vertex_client_works_too(server):
    server.upload("bucket8", "in.jsonl", lines(4))

    async def run():
        client = genai.Client(vertexai=True, api_key="any", project="p1", location="us-central1",
                              http_options={"base_url": server.url}).aio
        job = await client.batches.create(model=MODEL, src="gs://bucket8/in.jsonl",
                                          config={"dest": "gs://bucket8/out"})
        while not job.done:
            await asyncio.sleep(0.05)
            job = await client.batches.get(name=job.name)
        async for listed in await client.batches.list(config={"page_size": 2}):
            assert listed.name
            break
        answer = await client.models.generate_content(model=MODEL, contents="hi")
        assert answer.text == "echo: hi"
        return job
    assert asyncio.run(run()).state == types.JobState.JOB_STATE_SUCCEEDED


# ---- Gemini ----

def inline(count):
    return [{"contents": [{"role": "user", "parts": [{"text": f"inline {i}"}]}],
             "metadata": {"key": f"m{i}"}} for i in range(count)]


def test_inline_requests_come_back_in_order_with_their_metadata(gemini):
    job = gemini.batches.create(model=MODEL, src=inline(6), config={"display_name": "inline"})
    assert job.name.startswith("batches/")
    job = finish(gemini, job)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    answers = job.dest.inlined_responses
    assert [a.metadata["key"] for a in answers] == [f"m{i}" for i in range(6)]
    assert [a.response.text for a in answers] == [f"echo: inline {i}" for i in range(6)]


def test_a_file_batch_writes_a_file_with_keys(gemini, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(lines(4) + '{"key":"bad","request":{"contents":[]}}\n')
    uploaded = gemini.files.upload(file=path, config={"display_name": "requests",
                                                      "mime_type": "jsonl"})
    job = finish(gemini, gemini.batches.create(model=MODEL, src=uploaded.name))
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    rows = [json.loads(r) for r in gemini.files.download(file=job.dest.file_name).splitlines()]
    assert [row["key"] for row in rows] == ["k0", "k1", "k2", "k3", "bad"]
    assert "response" in rows[0] and rows[4]["error"]["code"] == 3


def test_a_type_that_no_model_reads_is_refused(gemini):
    with pytest.raises(errors.APIError, match="Unsupported MIME"):
        gemini.files.upload(file=io.BytesIO(b"test"), config={"mime_type": "bad/mime_type"})


def test_files_are_listed_got_and_deleted(gemini, tmp_path):
    path = tmp_path / "big.txt"
    path.write_bytes(b"x" * (9 * 1024 * 1024))  # more than one piece of 8 MiB
    uploaded = gemini.files.upload(file=path, config={"mime_type": "text/plain"})
    assert uploaded.size_bytes == 9 * 1024 * 1024 and uploaded.state == types.FileState.ACTIVE
    assert gemini.files.get(name=uploaded.name).name == uploaded.name
    assert uploaded.name in [f.name for f in gemini.files.list()]
    gemini.files.delete(name=uploaded.name)
    with pytest.raises(errors.ClientError) as caught:
        gemini.files.get(name=uploaded.name)
    assert caught.value.code in (403, 404)


def test_a_batch_is_listed_cancelled_and_deleted(gemini):
    job = gemini.batches.create(model=MODEL, src=[{
        "contents": [{"role": "user", "parts": [{"text": "x"}]}]}], config={
        "display_name": "hangs", "http_options": {"headers": {"x-tranche-test": "hang"}}})
    assert job.name in [j.name for j in gemini.batches.list(config={"page_size": 3})]
    gemini.batches.cancel(name=job.name)
    job = finish(gemini, job)
    assert job.state == types.JobState.JOB_STATE_CANCELLED
    gemini.batches.delete(name=job.name)
    with pytest.raises(errors.ClientError) as caught:
        gemini.batches.get(name=job.name)
    assert caught.value.code == 404


def test_online_calls_models_and_counting_work(gemini):
    assert gemini.models.generate_content(model=MODEL, contents="hi").text == "echo: hi"
    parts = gemini.models.generate_content_stream(model=MODEL, contents="hi")
    assert "".join(part.text for part in parts) == "echo: hi"
    assert gemini.models.count_tokens(model=MODEL, contents="hi").total_tokens > 0
    assert any(m.name.endswith(MODEL) for m in gemini.models.list())
    assert gemini.models.get(model=MODEL).name == "models/" + MODEL


def test_both_dialects_embed_texts_online(vertex, gemini):
    config = {"output_dimensionality": 5, "task_type": "RETRIEVAL_QUERY"}
    for client in (gemini, vertex):
        answer = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"], config=config)
        assert [len(e.values) for e in answer.embeddings] == [5, 5]


def test_a_batch_of_embeddings_is_made_inline_and_from_a_file(gemini, tmp_path):
    job = gemini.batches.create_embeddings(model=MODEL, src={"inlined_requests": {
        "contents": [{"parts": [{"text": "a"}]}, {"parts": [{"text": "b"}]}],
        "config": {"output_dimensionality": 5}}})
    job = finish(gemini, job)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    answers = job.dest.inlined_embed_content_responses
    assert [len(a.response.embedding.values) for a in answers][0] == 5 and len(answers) == 2
    path = tmp_path / "in.jsonl"
    path.write_text('{"key":"k","request":{"content":{"parts":[{"text":"a"}]},"output_dimensionality":5}}\n')
    uploaded = gemini.files.upload(file=path, config={"mime_type": "jsonl"})
    job = finish(gemini, gemini.batches.create_embeddings(model=MODEL, src={"file_name": uploaded.name}))
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    row = json.loads(gemini.files.download(file=job.dest.file_name))
    assert row["key"] == "k" and len(row["response"]["embedding"]["values"]) == 5


def test_a_running_batch_is_deleted_at_once(gemini):
    job = gemini.batches.create(model=MODEL, src=inline(1), config={
        "http_options": {"headers": {"x-tranche-test": "hang"}}})
    gemini.batches.delete(name=job.name)
    with pytest.raises(errors.ClientError) as caught:
        gemini.batches.get(name=job.name)
    assert caught.value.code == 404


def test_the_async_gemini_client_works_too(server):
    async def run():
        client = genai.Client(api_key="any", http_options={"base_url": server.url}).aio
        job = await client.batches.create(model=MODEL, src=inline(3))
        while not job.done:
            await asyncio.sleep(0.05)
            job = await client.batches.get(name=job.name)
        return job
    job = asyncio.run(run())
    assert [a.response.text for a in job.dest.inlined_responses] == [
        f"echo: inline {i}" for i in range(3)]


def test_a_failing_request_is_retried_until_it_answers(server, gemini):
    request = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
    job = gemini.batches.create(model=MODEL, src=[request], config={
        "http_options": {"headers": {"x-tranche-test": "unavailable-2"}}})
    wait_until(lambda: server.call("GET", "/v1/" + job.name)[1]["metadata"]["state"]
               in ("BATCH_STATE_RUNNING", "BATCH_STATE_SUCCEEDED"))

    def ended():
        server.advance(60)
        return gemini.batches.get(name=job.name).done
    wait_until(ended)
    job = gemini.batches.get(name=job.name)
    assert job.dest.inlined_responses[0].response.text == "echo: x"
