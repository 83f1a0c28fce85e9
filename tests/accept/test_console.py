"""A browser signs in to the console with a key, and its cookie then counts for our own pages only."""
import json
import urllib.error
import urllib.request

import pytest

from server import Server
from test_keys import make_key, tranche


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("console")
    key = make_key(folder, "red", "viewer")
    running = Server(folder)
    running.root = folder
    running.key = key
    yield running
    assert running.stop() == 0


def call(world, method, path, body=None, **headers):
    """(status, JSON, headers)"""
    request = urllib.request.Request(
        world.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def sign_in(world, key=None):
    status, text, headers = call(world, "POST", "/tranche/v1/session", {"key": key or world.key["key"]})
    assert status == 200, text
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    return cookie.split(";")[0], json.loads(text)


def test_the_page_is_served_without_a_key_and_lets_no_foreign_script_run(world):
    for path, kind in (("/", "text/html"), ("/console/app.js", "text/javascript"),
                       ("/console/app.css", "text/css"), ("/console/icon.svg", "image/svg+xml")):
        status, text, headers = call(world, "GET", path)
        assert status == 200 and text and headers["Content-Type"].startswith(kind)
        policy = headers.get_all("Content-Security-Policy")
        assert len(policy) == 1 and "default-src 'none'" in policy[0] and "unsafe" not in policy[0]
        assert call(world, "GET", path, If_None_Match=headers["ETag"])[0] == 304


def test_a_cookie_is_its_key(world):
    cookie, who = sign_in(world)
    assert (who["project"], who["role"], who["open"]) == ("red", "viewer", False)
    status, text, _ = call(world, "GET", "/tranche/v1/session", Cookie=f"a=b; {cookie}; c=d", x_tranche_console="1")
    assert status == 200 and json.loads(text) == who
    jobs = "/v1/projects/red/locations/us-central1/batchPredictionJobs"
    assert call(world, "GET", jobs, Cookie=cookie, x_tranche_console="1")[0] == 200
    assert call(world, "GET", jobs.replace("red", "blue"), Cookie=cookie, x_tranche_console="1")[0] in (403, 404)
    status, text, _ = call(world, "POST", "/v1/batches/1:cancel", {}, Cookie=cookie, x_tranche_console="1", Origin=world.url)
    assert status == 403 and "role is viewer" in text


def test_a_cookie_counts_for_our_own_pages_only(world):
    cookie, _ = sign_in(world)
    path = "/tranche/v1/session"
    assert call(world, "GET", path, Cookie=cookie)[0] == 401
    assert call(world, "GET", path, Cookie=cookie, x_tranche_console="1", Origin="http://evil.example")[0] == 401
    for origin in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": world.url + ".evil.example"}):
        assert call(world, "POST", path + ":refresh", {}, Cookie=cookie, x_tranche_console="1", **origin)[0] == 401
    assert call(world, "POST", path + ":refresh", {}, Cookie=cookie, x_tranche_console="1", Origin=world.url)[0] == 200
    assert call(world, "POST", path + ":refresh", {}, Cookie=cookie, Origin=world.url)[0] == 401


def test_signing_out_ends_the_session(world):
    cookie, _ = sign_in(world)
    own = {"Cookie": cookie, "x_tranche_console": "1", "Origin": world.url}
    status, _, headers = call(world, "DELETE", "/tranche/v1/session", **own)
    assert status == 200 and "Max-Age=0" in headers["Set-Cookie"]
    assert call(world, "GET", "/tranche/v1/session", **own)[0] == 401


def test_a_wrong_or_revoked_key_cannot_sign_in_and_ends_what_it_signed_in(world):
    status, text, headers = call(world, "POST", "/tranche/v1/session", {"key": "tk_wrong"})
    assert status == 401 and "tranche keys create" in text and "Set-Cookie" not in headers
    for body in ({}, {"key": 7}, {"key": ""}):
        assert call(world, "POST", "/tranche/v1/session", body)[0] == 401
    other = make_key(world.root, "red", "user")
    cookie, who = sign_in(world, other["key"])
    assert who["role"] == "user"
    tranche(world.root, "keys", "revoke", other["id"])
    assert call(world, "GET", "/tranche/v1/session", Cookie=cookie, x_tranche_console="1")[0] == 401
    assert call(world, "POST", "/tranche/v1/session", {"key": other["key"]})[0] == 401


def test_a_models_name_leads_to_what_answers_it_and_its_price(world):
    head = {"x_goog_api_key": world.key["key"]}
    status, text, _ = call(world, "GET", "/tranche/v1/models/gemini-2.5-flash", **head)
    answer = json.loads(text)
    assert status == 200 and (answer["name"], answer["kind"]) == ("gemini-*", "fake")
    assert answer["price"] == {"input": 0.3, "output": 2.5, "cached": 0.03, "batchIsHalf": True}
    assert "price" not in json.loads(call(world, "GET", "/tranche/v1/models/tranche-fake", **head)[1])
    assert call(world, "GET", "/tranche/v1/models/nobody", **head)[0] == 404
    assert {"name": "gemini-*", "kind": "fake", "about": "configured"} in json.loads(call(world, "GET", "/tranche/v1/info", **head)[1])["models"]
