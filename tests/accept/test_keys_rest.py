"""Admins list, make and revoke the keys of their project over REST."""
import pytest

from server import Server
from test_keys import make_key

KEYS = "/tranche/v1/keys"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys-rest")
    made = {"admin": make_key(folder, "red", "admin"), "user": make_key(folder, "red"),
            "viewer": make_key(folder, "red", "viewer"), "other": make_key(folder, "blue", "admin")}
    running = Server(folder)
    running.head = {name: {"x-goog-api-key": key["key"]} for name, key in made.items()}
    running.ids = {name: key["id"] for name, key in made.items()}
    yield running
    assert running.stop() == 0


def test_an_admin_sees_the_keys_of_its_project_without_their_texts(world):
    status, answer = world.call("GET", KEYS, headers=world.head["admin"])
    assert status == 200
    assert {key["id"] for key in answer["keys"]} >= {world.ids[n] for n in ("admin", "user", "viewer")}
    assert {key["project"] for key in answer["keys"]} == {"red"}
    assert all("key" not in key and key["state"] in ("valid", "revoked") for key in answer["keys"])


@pytest.mark.parametrize("name", ["user", "viewer"])
def test_who_is_no_admin_may_not(world, name):
    for method, path, body in (("GET", KEYS, None), ("POST", KEYS, {}), ("DELETE", f"{KEYS}/{world.ids['user']}", None)):
        status, answer = world.call(method, path, body, world.head[name])
        assert status == 403 and "role" in answer["error"]["message"]
    assert world.call("GET", KEYS)[0] == 401


def test_a_key_is_shown_once_counts_at_once_and_ends_at_once(world):
    status, made = world.call("POST", KEYS, {"name": "<b>ci</b>", "role": "viewer", "expiresDays": 30}, world.head["admin"])
    assert status == 200 and made["key"].startswith("tk_") and made["id"] == made["key"][:11]
    assert (made["project"], made["role"], made["name"], made["state"]) == ("red", "viewer", "<b>ci</b>", "valid")
    assert made["expires"] > made["created"]
    head = {"x-goog-api-key": made["key"]}
    assert world.call("GET", "/v1/batches", headers=head)[0] == 200
    _, answer = world.call("GET", KEYS, headers=world.head["admin"])
    assert made["key"] not in str(answer)
    assert world.call("DELETE", f"{KEYS}/{made['id']}", headers=world.head["admin"]) == (200, {})
    assert world.call("GET", "/v1/batches", headers=head)[0] == 400
    _, answer = world.call("GET", KEYS, headers=world.head["admin"])
    assert next(key for key in answer["keys"] if key["id"] == made["id"])["state"] == "revoked"


def test_keys_of_other_projects_are_out_of_reach(world):
    status, answer = world.call("POST", KEYS, {"project": "blue"}, world.head["admin"])
    assert status == 403 and "tranche keys create" in answer["error"]["message"]
    assert world.call("DELETE", f"{KEYS}/{world.ids['other']}", headers=world.head["admin"])[0] == 404
    assert world.call("DELETE", f"{KEYS}/tk_none", headers=world.head["admin"])[0] == 404
    assert world.call("GET", "/v1/batches", headers=world.head["other"])[0] == 200


@pytest.mark.parametrize("body, word", [
    ({"role": "root"}, "viewer, user or admin"), ({"role": "ADMIN"}, "viewer, user or admin"),
    ({"expiresDays": 0}, "expiresDays"), ({"expiresDays": 36501}, "expiresDays"), ({"project": "a b"}, "letters"),
    ({"name": "n" * 129}, "128 bytes"), ({"scope": "all"}, "scope")])
def test_a_bad_key_is_refused_in_words(world, body, word):
    status, answer = world.call("POST", KEYS, body, world.head["admin"])
    assert status == 400 and word in answer["error"]["message"], answer


def test_the_first_key_ends_the_open_mode(tmp_path):
    running = Server(tmp_path)
    try:
        assert running.call("GET", KEYS) == (200, {"keys": []})
        status, made = running.call("POST", KEYS, {"project": "green", "role": "admin"})
        assert status == 200 and made["project"] == "green"
        assert running.call("GET", KEYS)[0] == 401
        assert len(running.call("GET", KEYS, headers={"x-goog-api-key": made["key"]})[1]["keys"]) == 1
    finally:
        assert running.stop() == 0
