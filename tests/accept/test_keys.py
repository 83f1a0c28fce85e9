"""Keys, projects and service accounts, with Google's own auth library."""
import json
import subprocess

import pytest

from server import PROGRAM, Server, lines, place_of, wait_until

genai = pytest.importorskip("google.genai")
from google.genai import errors  # noqa: E402
from google.oauth2 import service_account  # noqa: E402

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def tranche(folder, *arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments), *place_of(folder)],
                          capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def make_key(folder, project, role="user"):
    text = tranche(folder, "keys", "create", "--project", project, "--role", role, "--json")
    return json.loads(text)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    keys = {name: make_key(folder, name) for name in ("red", "blue")}
    keys["looker"] = make_key(folder, "red", "viewer")
    running = Server(folder)
    running.keys = {name: key["key"] for name, key in keys.items()}
    running.ids = {name: key["id"] for name, key in keys.items()}
    running.root = folder
    yield running
    assert running.stop() == 0


def client(world, name, project):
    return genai.Client(vertexai=True, api_key=world.keys[name], project=project,
                        location="us-central1", http_options={"base_url": world.url})


def test_nobody_without_a_key_gets_in(world):
    for path in ("/v1/projects/red/locations/us-central1/batchPredictionJobs", "/v1/batches",
                 "/storage/v1/b?project=red", "/metrics", "/tranche/v1/info"):
        assert world.call("GET", path)[0] in (401, 403), path
    status, answer = world.call("GET", "/v1/batches", headers={"x-goog-api-key": "tk_wrong"})
    assert status == 400 and "API key not valid" in answer["error"]["message"]
    assert world.call("GET", "/healthz")[0] == 200


def test_projects_do_not_see_each_other(world):
    head = {"x-goog-api-key": world.keys["red"]}
    status, _ = world.call("POST", "/storage/v1/b?project=red", {"name": "red-bucket"}, head)
    assert status == 200
    world.upload("red-bucket", "in.jsonl", lines(2), head)
    red = client(world, "red", "red")
    job = red.batches.create(model="tranche-fake", src="gs://red-bucket/in.jsonl",
                             config={"dest": "gs://red-bucket/out"})
    job = wait_until(lambda: (lambda j: j if j.done else None)(red.batches.get(name=job.name)))
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    other = {"x-goog-api-key": world.keys["blue"]}
    for path in ("/v1/" + job.name, "/storage/v1/b/red-bucket",
                 "/storage/v1/b/red-bucket/o/in.jsonl?alt=media"):
        assert world.call("GET", path, headers=other)[0] == 404, path
    intruder = client(world, "blue", "red")
    with pytest.raises(errors.ClientError) as caught:
        intruder.batches.create(
            model="tranche-fake", src="gs://red-bucket/in.jsonl",
            config={"dest": "gs://red-bucket/out"})
    assert caught.value.code == 403
    # Its own job cannot read the other's object either: the bucket is not there for it.
    blue = client(world, "blue", "blue")
    with pytest.raises(errors.ClientError) as caught:
        blue.batches.create(model="tranche-fake", src="gs://red-bucket/in.jsonl",
                            config={"dest": "gs://red-bucket/out"})
    assert caught.value.code == 400 and "red-bucket" in caught.value.message
    assert world.call("POST", "/storage/v1/b?project=blue", {"name": "blue-bucket"}, other)[0] == 200
    stolen = blue.batches.create(model="tranche-fake", src="gs://red-bucket/in.jsonl",
                                 config={"dest": "gs://blue-bucket/out"})
    stolen = wait_until(lambda: (lambda j: j if j.done else None)(blue.batches.get(name=stolen.name)))
    assert stolen.state.name == "JOB_STATE_FAILED" and "red-bucket" in stolen.error.message


def test_a_viewer_reads_and_may_not_submit(world):
    viewer = client(world, "looker", "red")
    assert viewer.batches.list() is not None
    with pytest.raises(errors.ClientError) as caught:
        viewer.batches.create(model="tranche-fake", src="gs://red-bucket/in.jsonl",
                              config={"dest": "gs://red-bucket/out"})
    assert caught.value.code == 403


def test_a_service_account_file_works_with_google_auth(world):
    path = world.root / "sa.json"
    tranche(world.root, "keys", "create", "--project", "red", "--service-account", path, "--url",
            world.url)
    credentials = service_account.Credentials.from_service_account_file(path, scopes=[SCOPE])
    red = genai.Client(vertexai=True, project="red", location="us-central1",
                       credentials=credentials, http_options={"base_url": world.url})
    assert red.models.generate_content(model="tranche-fake", contents="hi").text == "echo: hi"


def test_a_revoked_key_is_refused_at_once(world):
    made = make_key(world.root, "red")
    head = {"x-goog-api-key": made["key"]}
    assert world.call("GET", "/v1/batches", headers=head)[0] == 200
    tranche(world.root, "keys", "revoke", made["id"])
    assert world.call("GET", "/v1/batches", headers=head)[0] == 400
