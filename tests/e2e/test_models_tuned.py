"""Tuned models of a project: registered by the command and by the API, seen at once, and answered over
their base. The adapters are generated, so that their effect is known: none, or another answer."""
import json
import os
import pathlib
import signal
import time

import pytest

import gguf_file
from conftest import request
from test_serve import Server

BASE = "smollm2-135m-instruct"
PLACE = "/v1/projects/default/locations/us-central1"
CONFIG = """models:
  - name: smollm2-135m-instruct
    file: {file}
    sequences: 4
    context: 512
    cache_mib: 64
    isolate: {isolate}
"""


@pytest.fixture(params=["true", "false"], ids=["isolated", "one process"])
def server(request, tranche, base_file):  # pylint: disable=redefined-outer-name
    (tranche.folder / "c.yaml").write_text(CONFIG.format(file=base_file, isolate=request.param))
    (tranche.folder / "zero.gguf").write_bytes(gguf_file.adapter(size=0.0))
    (tranche.folder / "strong.gguf").write_bytes(gguf_file.adapter(size=0.9, alpha=64.0))
    one = Server(tranche, "--config", "c.yaml")
    one.isolated = request.param == "true"
    yield one
    one.process.terminate()
    one.process.communicate(timeout=60)


@pytest.fixture
def base_file(tranche):
    for line in tranche("models", "--json").stdout.splitlines():
        model = json.loads(line)
        if model["name"] == BASE and model["present"]:
            return model["file"]
    pytest.skip("the default model is not installed")


def add(tranche, name, *arguments):
    return tranche("models", "add", name, "--state", "state", "--config", "c.yaml", *arguments)


def body(text="Name three colours."):
    return json.dumps(request(text, maxOutputTokens=12, temperature=0)["request"])


def answer(server, path):
    status, reply = server.call(path + ":generateContent", "POST", body())
    assert status == 200, reply
    return reply["candidates"][0]["content"]["parts"][0]["text"]


def published(server):
    return answer(server, f"{PLACE}/publishers/google/models/{BASE}")


def test_a_registered_adapter_answers_at_once_under_every_name(server, tranche):
    base = published(server)
    assert add(tranche, "zero", "--base", BASE, "--adapter", "zero.gguf").stdout == \
        "projects/default/locations/us-central1/models/zero\n"
    assert add(tranche, "strong", "--base", BASE, "--adapter", "strong.gguf").returncode == 0
    assert answer(server, f"{PLACE}/endpoints/zero") == base
    strong = answer(server, f"{PLACE}/endpoints/strong")
    assert strong != base and answer(server, "/v1beta/tunedModels/strong") == strong
    assert published(server) == base
    listed = server.call(f"{PLACE}/models")[1]["models"]
    assert [m["name"].rsplit("/", 1)[1] for m in listed] == ["strong", "zero"]
    assert server.call("/v1beta/tunedModels/zero")[1]["baseModel"] == f"models/{BASE}"
    assert server.call(f"{PLACE}/models/zero", "DELETE")[1]["done"]
    assert server.call(f"{PLACE}/models/zero")[0] == 404
    assert server.error(f"{PLACE}/endpoints/zero:generateContent", method="POST", body=body())[0] == 404


def children(pid):
    """Processes that pid has started and that run."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(folder.name))
    return found


def test_tuned_models_share_the_process_of_their_base_also_after_its_end(server, tranche):
    paths = [f"{PLACE}/publishers/google/models/{BASE}", f"{PLACE}/endpoints/zero", f"{PLACE}/endpoints/strong"]
    for name in ("zero", "strong"):
        assert add(tranche, name, "--base", BASE, "--adapter", f"{name}.gguf").returncode == 0
    first = [answer(server, path) for path in paths]
    models = children(server.process.pid)
    assert len(models) == (1 if server.isolated else 0)
    for pid in models:
        os.kill(pid, signal.SIGKILL)
    assert [answer(server, path) for path in paths] == first
    assert first[0] == first[1] != first[2]


def upload(server, name, data, model, **more):
    assert server.call("/storage/v1/b?project=default", "POST", '{"name": "tuned"}',
                       Content_Type="application/json")[0] in (200, 409)
    import urllib.request  # the body is bytes
    put = urllib.request.Request(f"{server.url}/upload/storage/v1/b/tuned/o?uploadType=media&name={name}",
                                 data=data, method="POST")
    urllib.request.urlopen(put, timeout=30).close()
    return server.call(f"{PLACE}/models:upload", "POST", json.dumps({"model": model, **more}))


def test_an_upload_is_an_operation_that_is_done(server, tranche):
    strong = (tranche.folder / "strong.gguf").read_bytes()
    model = {"displayName": "Strong", "artifactUri": "gs://tuned/strong.gguf",
             "baseModelSource": {"modelGardenSource": {"publicModelName": f"publishers/google/models/{BASE}"}}}
    status, operation = upload(server, "strong.gguf", strong, model)
    assert status == 200 and operation["done"], operation
    name = operation["response"]["model"]
    assert name.rsplit("/", 1)[1].isdigit()
    again = server.call("/v1/" + operation["name"])[1]
    assert again["response"]["model"] == name
    got = server.call("/v1/" + name)[1]
    assert got["displayName"] == "Strong" and got["modelSourceInfo"] == {"sourceType": "GENIE"}
    patched = server.call("/v1/" + name, "PATCH", '{"displayName": "Stronger"}')[1]
    assert patched["displayName"] == "Stronger"
    endpoint = server.call(f"{PLACE}/endpoints", "POST", '{"display_name": "e"}')[1]["response"]["name"]
    deployed = server.call(f"/v1/{endpoint}:deployModel", "POST",
                           json.dumps({"deployedModel": {"model": name, "displayName": "d"}}))[1]
    assert deployed["response"]["deployedModel"]["model"] == name
    assert answer(server, "/v1/" + endpoint) != published(server)
    assert server.call("/v1/" + name, "DELETE")[0] == 400, "it is deployed"
    assert server.call("/v1/" + endpoint, "DELETE")[0] == 400
    undeploy = json.dumps({"deployedModelId": deployed["response"]["deployedModel"]["id"]})
    assert server.call(f"/v1/{endpoint}:undeployModel", "POST", undeploy)[1]["done"]
    assert server.call("/v1/" + endpoint, "DELETE")[1]["done"]
    assert server.call("/v1/" + name, "DELETE")[1]["done"]


def test_an_upload_that_cannot_be_is_refused_in_words(server):
    model = {"displayName": "x", "artifactUri": "gs://tuned/x.gguf"}
    assert "not a GGUF" in upload(server, "x.gguf", b"not a model, not at all, really", model)[1]["error"]["message"]
    base = {**model, "baseModelSource": {"genieSource": {"baseModelUri": "no-such"}}}
    assert upload(server, "x.gguf", b"x", base)[0] == 404
    assert upload(server, "x.gguf", b"x", model, modelId=BASE)[0] == 409
    assert upload(server, "x.gguf", b"x", {**model, "artifactUri": "gs://tuned/none/"})[0] == 400
    assert upload(server, "x.gguf", b"x", {**model, "artifactUri": "http://x"})[0] == 400


def wait(server, name):
    for _ in range(600):
        job = server.call("/v1/" + name)[1]
        if job["state"] in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)


def lines(server, uri):
    bucket, name = uri.removeprefix("gs://").split("/", 1)
    quoted = (name + "/predictions.jsonl").replace("/", "%2F")
    text = server.call(f"/storage/v1/b/{bucket}/o/{quoted}?alt=media")[1]
    rows = [text] if isinstance(text, dict) else [json.loads(line) for line in text.splitlines()]
    return [row["response"]["candidates"][0]["content"]["parts"][0]["text"] for row in rows]


def test_jobs_on_several_adapters_of_one_base_run_beside_each_other(server, tranche):
    base = published(server)
    assert add(tranche, "zero", "--base", BASE, "--adapter", "zero.gguf").returncode == 0
    assert add(tranche, "strong", "--base", BASE, "--adapter", "strong.gguf").returncode == 0
    alone = answer(server, f"{PLACE}/endpoints/strong")
    row = json.dumps({"request": json.loads(body())}) + "\n"
    upload(server, "in.jsonl", row.encode() * 2, {})
    names = []
    for model in (f"publishers/google/models/{BASE}", "projects/default/locations/us-central1/models/zero",
                  "projects/default/locations/us-central1/models/strong@1"):
        status, job = server.call(f"{PLACE}/batchPredictionJobs", "POST", json.dumps({
            "displayName": "j", "model": model,
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://tuned/in.jsonl"]}},
            "outputConfig": {"predictionsFormat": "jsonl",
                             "gcsDestination": {"outputUriPrefix": "gs://tuned/out"}}}))
        assert status == 200, job
        names.append(job["name"])
    jobs = [wait(server, name) for name in names]
    assert [job["state"] for job in jobs] == ["JOB_STATE_SUCCEEDED"] * 3
    answers = [lines(server, job["outputInfo"]["gcsOutputDirectory"]) for job in jobs]
    assert answers == [[base] * 2, [base] * 2, [alone] * 2]


def test_another_projects_model_cannot_be_reached(server, tranche):
    assert add(tranche, "secret", "--base", BASE, "--adapter", "zero.gguf", "--project", "a").returncode == 0
    keys = {p: tranche("keys", "create", "--project", p, "--state", "state").stdout.strip() for p in "ab"}
    place = "/v1/projects/{}/locations/us-central1/models"
    assert server.call(place.format("a") + "/secret", x_goog_api_key=keys["a"])[0] == 200
    assert server.call(place.format("a") + "/secret", x_goog_api_key=keys["b"])[0] == 403
    assert server.call(place.format("b") + "/secret", x_goog_api_key=keys["b"])[0] == 404
    assert server.call("/v1beta/tunedModels/secret", x_goog_api_key=keys["b"])[0] == 404
    job = {"displayName": "j", "model": "projects/a/locations/us-central1/models/secret",
           "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://x/y"]}},
           "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://x/z"}}}
    status, reply = server.call("/v1/projects/b/locations/us-central1/batchPredictionJobs", "POST",
                                json.dumps(job), x_goog_api_key=keys["b"])
    assert status == 404, reply


def test_what_cannot_be_added_is_refused_in_words(server, tranche):
    del server
    wrong = gguf_file.adapter(architecture="qwen3")
    (tranche.folder / "wrong.gguf").write_bytes(wrong)
    (tranche.folder / "cut.gguf").write_bytes(wrong[:len(wrong) // 2])
    for arguments, words in [
            (["x", "--adapter", "zero.gguf"], "go together"),
            (["x", "--base", "none", "--adapter", "zero.gguf"], "no model"),
            ([BASE, "--base", BASE, "--adapter", "zero.gguf"], "configuration has a model"),
            (["x", "--base", BASE, "--adapter", "wrong.gguf"], "architecture qwen3"),
            (["x", "--base", BASE, "--adapter", "cut.gguf"], "cut short"),
            (["x", "--file", "zero.gguf"], "is an adapter"),
            (["No!", "--base", BASE, "--adapter", "zero.gguf"], "lower-case")]:
        result = add(tranche, *arguments)
        assert result.returncode in (2, 3) and words in result.stderr, result.stderr
    assert add(tranche, "x", "--base", BASE, "--adapter", "zero.gguf").returncode == 0
    assert "already" in add(tranche, "x", "--base", BASE, "--adapter", "zero.gguf").stderr
    listed = tranche("models", "ls", "--state", "state").stdout
    assert "x  adapter over" in listed
    assert tranche("models", "rm", "x", "--project", "default", "--state", "state").returncode == 0
