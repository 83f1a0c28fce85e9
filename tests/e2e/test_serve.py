"""`tranche serve`, `keys` and `backup` as an operator uses them: starting, keys, signals, reload."""
import base64
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import request

OK, USAGE, STOPPED = 0, 2, 4
JOBS = "/v1/projects/{}/locations/us-central1/batchPredictionJobs"
START_S = 60


class Server:
    """A running `tranche serve` on a free port."""

    def __init__(self, tranche, *arguments, state="state"):
        self.process = tranche.start("serve", "--listen", "127.0.0.1:0", "--state", state, "--json",
                                     *arguments)
        ready, _, _ = select.select([self.process.stdout], [], [], START_S)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.process.kill()
            raise AssertionError(self.process.communicate()[1])
        self.unread = ""  # of the log: select knows nothing of what a file object keeps
        self.ready = json.loads(line)
        self.url = self.ready["url"]

    def call(self, path, method="GET", body=None, **headers):
        """The status, and the body: as JSON where it is that."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, method=method, headers=headers,
                                         data=body if body is None else body.encode())
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                status, text = reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def error(self, path, **options):
        status, body = self.call(path, **options)
        assert body["error"]["code"] == status
        return status, body["error"].get("status"), body["error"]["message"]

    def log(self, text, seconds=30):
        """Reads the log until a line has this text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            line, whole, rest = self.unread.partition("\n")
            if whole:
                self.unread = rest
                if text in line:
                    return line
            elif select.select([self.process.stderr], [], [], 1)[0]:
                more = os.read(self.process.stderr.fileno(), 1 << 16)
                if not more:
                    break
                self.unread += more.decode()
        raise AssertionError(f"no line with {text!r}")

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        stderr = self.process.communicate(timeout=60)[1]
        return self.process.returncode, stderr


@pytest.fixture
def serve(tranche):
    servers = []

    def start(*arguments, **options):
        servers.append(Server(tranche, *arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


def make_key(tranche, *arguments, project="p1"):
    done = tranche("keys", "create", "--project", project, "--state", "state", *arguments)
    assert done.returncode == OK, done.stderr
    return done.stdout.strip()


def key_ids(tranche):
    return {row["project"]: row for row in map(
        json.loads, tranche("keys", "list", "--json", "--state", "state").stdout.splitlines())}


# ---- Starting and ending ----


def test_it_tells_when_it_is_ready_and_ends_in_order(serve):
    server = serve()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.url)
    assert server.call("/healthz") == (200, "ok\n")
    assert server.call("/readyz") == (200, "ok\n")
    code, log = server.end()
    assert code == OK
    assert "Sanitizer" not in log


def test_an_interrupt_ends_it_in_order_too(serve):
    assert serve().end(signal.SIGINT)[0] == OK


def test_without_a_key_it_does_not_listen_for_other_machines(tranche):
    done = tranche("serve", "--listen", "0.0.0.0:0", "--state", "state", timeout=60)
    assert done.returncode == USAGE
    assert "tranche keys create" in done.stderr
    assert done.stdout == ""


def test_with_a_key_it_listens_for_other_machines(tranche):
    make_key(tranche)
    process = tranche.start("serve", "--listen", "0.0.0.0:0", "--state", "state")
    assert process.stdout.readline().startswith("serving on http://0.0.0.0:")
    process.terminate()
    assert process.wait(timeout=60) == OK
    process.communicate()


def test_two_servers_do_not_share_a_folder(tranche, serve):
    serve()
    done = tranche("serve", "--listen", "127.0.0.1:0", "--state", "state", timeout=60)
    assert done.returncode == STOPPED
    assert "state" in done.stderr


def test_a_port_that_is_taken_is_told(tranche, serve):
    port = serve().url.rsplit(":", 1)[1]
    done = tranche("serve", "--listen", f"127.0.0.1:{port}", "--state", "other", timeout=60)
    assert done.returncode == STOPPED
    assert port in done.stderr


@pytest.mark.parametrize("arguments", [
    ["--tls-cert", "x.pem"], ["--config", "absent.yaml"], ["--listen", "nonsense"], ["extra"]])
def test_mistakes_of_the_command_line_are_told(tranche, arguments):
    done = tranche("serve", "--state", "state", *arguments, timeout=60)
    assert done.returncode in (USAGE, STOPPED)
    assert done.stderr.count("\n") <= 2 and done.stdout == ""


def test_systemd_is_told_of_being_ready_and_of_the_end(tranche, serve):
    path = str(tranche.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30)
        tranche.environment["NOTIFY_SOCKET"] = path
        server = serve()
        assert notify.recv(100) == b"READY=1"
        server.end()
        assert notify.recv(100) == b"STOPPING=1"


# ---- Keys ----


def test_no_call_is_made_without_a_key_once_there_is_one(tranche, serve):
    server = serve()
    assert server.call(JOBS.format("p1"))[0] == 200
    key = make_key(tranche)
    status, name, message = server.error(JOBS.format("p1"))
    assert (status, name) == (401, "UNAUTHENTICATED") and "credential" in message
    status, name, message = server.error("/v1beta/batches")
    assert (status, name) == (403, "PERMISSION_DENIED")
    assert message.startswith("Method doesn't allow unregistered callers")
    status, body = server.call("/storage/v1/b?project=p1")
    assert status == 401 and body["error"]["errors"][0]["reason"] == "required"
    for headers, query in (({"x_goog_api_key": key}, ""), ({}, f"?key={key}"),
                           ({"Authorization": f"Bearer {key}"}, ""),
                           ({"Authorization": f"bearer  {key}"}, "")):
        assert server.call(JOBS.format("p1") + query, **headers)[0] == 200


def test_a_bad_key_is_told_in_the_words_of_the_dialect(tranche, serve):
    server = serve()
    make_key(tranche)
    bad = {"x_goog_api_key": "tk_wrong"}
    status, body = server.call("/v1beta/batches", **bad)
    assert status == 400 and body["error"]["status"] == "INVALID_ARGUMENT"
    assert body["error"]["message"] == "API key not valid. Please pass a valid API key."
    assert body["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    assert server.error(JOBS.format("p1"), **bad)[:2] == (401, "UNAUTHENTICATED")


def test_a_key_reaches_its_project_only_and_its_role_only(tranche, serve):
    server = serve()
    viewer = {"x_goog_api_key": make_key(tranche, "--role", "viewer")}
    assert server.call(JOBS.format("p1"), **viewer)[0] == 200
    assert server.error(JOBS.format("p2"), **viewer)[0] in (403, 404)
    status, name, message = server.error(JOBS.format("p1"), method="POST", body="{}", **viewer)
    assert (status, name) == (403, "PERMISSION_DENIED")
    assert "viewer" in message


def test_a_revoked_key_ends_at_once_and_does_not_open_the_server(tranche, serve):
    server = serve()
    key = {"x_goog_api_key": make_key(tranche)}
    assert server.call(JOBS.format("p1"), **key)[0] == 200
    assert tranche("keys", "revoke", key_ids(tranche)["p1"]["id"], "--state", "state").returncode == OK
    assert server.error(JOBS.format("p1"), **key)[0] == 401
    assert server.error(JOBS.format("p1"))[0] == 401
    assert key_ids(tranche)["p1"]["state"] == "revoked"


def test_a_key_is_shown_once_and_never_again(tranche):
    key = make_key(tranche, "--name", "laptop", "--expires-days", "3")
    assert re.fullmatch(r"tk_\S{40}", key)
    listed = tranche("keys", "list", "--state", "state").stdout
    assert "laptop" in listed and key not in listed
    row = key_ids(tranche)["p1"]
    assert row["role"] == "user" and "expires" in row and "key" not in row
    for path in (tranche.folder / "state").rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("arguments", [
    ["create"], ["create", "--project", "a/b"], ["create", "--project", "p", "--role", "boss"],
    ["create", "--project", "p", "--service-account", "f.json"], ["revoke"], ["revoke", "tk_none"],
    ["create", "--project", "p", "--service-account", "f.json", "--url", "ftp://x"], ["remove"]])
def test_mistakes_with_keys_are_told(tranche, arguments):
    done = tranche("keys", *arguments, "--state", "state")
    assert done.returncode == USAGE and done.stderr and not done.stdout
    assert not (tranche.folder / "f.json").exists()


def test_keys_are_not_logged(tranche, serve):
    server = serve()
    key = make_key(tranche)
    server.call(JOBS.format("p1") + f"?key={key}", method="POST", body="{}")
    server.call("/no/such/path?key=" + key, x_goog_api_key=key)
    _, log = server.end()
    assert "call " in log and key not in log and key[3:20] not in log


# ---- Service accounts ----


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def assertion(tranche, account, **claims):
    """A JWT as Google's auth libraries make it, signed by the openssl program."""
    now = int(time.time())
    claims = {"iss": account["client_email"], "aud": account["token_uri"], "iat": now,
              "exp": now + 3600, "scope": "https://www.googleapis.com/auth/cloud-platform", **claims}
    text = ".".join(base64url(json.dumps(part).encode())
                    for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    key = tranche.folder / "private.pem"
    key.write_text(account["private_key"])
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text.encode(),
                            capture_output=True, check=True)
    return f"{text}.{base64url(signed.stdout)}"


def token_of(server, jwt):
    form = urllib.parse.urlencode(
        {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": jwt})
    return server.call("/token", method="POST", body=form,
                       Content_Type="application/x-www-form-urlencoded")


def test_a_service_account_gets_tokens_until_it_is_revoked(tranche, serve):
    server = serve()
    file = tranche.folder / "account.json"
    make_key(tranche, "--service-account", file, "--url", server.url + "/")
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    account = json.loads(file.read_text())
    assert account["type"] == "service_account" and account["project_id"] == "p1"
    assert account["token_uri"] == server.url + "/token"
    status, body = token_of(server, assertion(tranche, account))
    assert status == 200 and body["token_type"] == "Bearer" and body["expires_in"] == 3600
    headers = {"Authorization": "Bearer " + body["access_token"]}
    assert server.call(JOBS.format("p1"), **headers)[0] == 200
    assert server.call(JOBS.format("p2"), **headers)[0] in (403, 404)
    status, body = token_of(server, assertion(tranche, account, exp=int(time.time()) + 7200))
    assert status == 400 and body["error"] == "invalid_grant"
    tranche("keys", "revoke", key_ids(tranche)["p1"]["id"], "--state", "state")
    assert server.call(JOBS.format("p1"), **headers)[0] == 401
    assert token_of(server, assertion(tranche, account))[0] == 400


def test_a_service_account_replaces_no_file(tranche):
    file = tranche.folder / "account.json"
    file.write_text("mine")
    done = tranche("keys", "create", "--project", "p", "--state", "state", "--service-account", file,
                   "--url", "http://x.test")
    assert done.returncode != OK and file.read_text() == "mine"
    assert key_ids(tranche) == {}


# ---- The open mode ----


def test_pages_of_other_sites_do_not_reach_an_open_server(serve):
    server = serve()
    assert server.call(JOBS.format("p1"), Origin="http://localhost:3000")[0] == 200
    for headers in ({"Host": "evil.test"}, {"Host": "127.0.0.1.evil.test:80"},
                    {"Origin": "http://evil.test"}, {"Origin": "null"}):
        status, name, message = server.error(JOBS.format("p1"), **headers)
        assert (status, name) == (403, "PERMISSION_DENIED")
        assert "tranche keys create" in message


# ---- Paths ----


def test_unknown_paths_and_methods_are_told_as_google_does(serve):
    server = serve()
    assert server.error("/v1/nothing")[:2] == (404, "NOT_FOUND")
    assert server.error("/tranche/v1/info", method="DELETE")[0] == 405
    assert server.call("/healthz", method="DELETE")[0] == 405
    status, body = server.call("/storage/v1/nothing/at/all")
    assert status == 404 and body["error"]["errors"][0]["reason"] == "notFound"
    assert server.call("/healthz?unknown=parameter&fields=x")[0] == 200


def test_the_server_tells_of_itself(serve):
    server = serve()
    status, info = server.call("/tranche/v1/info")
    assert status == 200 and info["testClock"] is False
    assert "tranche-fake" in [model["name"] for model in info["models"]]
    status, text = server.call("/metrics")
    assert status == 200 and "tranche_http_requests_total{" in text


def test_each_metric_counts_a_call_once(serve):
    server = serve()

    def total():
        text = server.call("/metrics")[1]
        names = [row.split()[2] for row in text.splitlines() if row.startswith("# TYPE")]
        assert len(names) == len(set(names))
        assert "tranche_build_info{" in text and "\nprocess_cpu_seconds_total " in text
        return sum(float(row.split()[-1]) for row in text.splitlines()
                   if row.startswith("tranche_http_requests_total{"))
    before = total()
    for _ in range(5):
        server.call("/healthz")
    assert total() == before + 6  # the calls, and the first look itself


def test_it_is_not_ready_while_the_default_model_cannot_be_opened(tranche, serve):
    file = tranche.folder / "c.yaml"
    file.write_text("default_model: gone\nmodels: [{ name: gone, file: /nonexistent/m.gguf }]\n")
    status, text = serve("--config", file).call("/readyz")
    assert status == 503 and "/nonexistent/m.gguf" in text


def test_a_trace_is_named_in_the_log(serve):
    server = serve()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    server.call("/v1beta/models/tranche-fake:countTokens", method="POST", body="{}",
                traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    assert f"trace={trace}" in server.log("countTokens")


def test_only_a_test_clock_can_be_advanced(serve):
    assert serve().error("/tranche/v1/clock:advance", method="POST", body='{"seconds":1}')[0] == 404
    server = serve("--test-clock", state="test")
    before = server.call("/tranche/v1/clock")[1]["now"]
    status, after = server.call("/tranche/v1/clock:advance", method="POST",
                                body='{"seconds":86400}')
    assert status == 200 and after["now"][:10] > before[:10]
    for body in ('{"seconds":-1}', '{"seconds":1.5}', '{}', '[]', 'x', '{"seconds":1e300}'):
        assert server.error("/tranche/v1/clock:advance", method="POST", body=body)[0] == 400


def test_events_are_a_stream_that_begins_at_once(serve):
    server = serve()
    with urllib.request.urlopen(server.url + "/tranche/v1/events", timeout=30) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.readline().startswith(b"retry:")
        code, _ = server.end()
        assert code == OK
    request = urllib.request.Request(serve(state="b").url + "/tranche/v1/events",
                                     headers={"Last-Event-ID": "x"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 400


# ---- Reload and backup ----


def test_a_reload_takes_a_good_configuration_and_leaves_a_bad_one(tranche, serve):
    file = tranche.folder / "c.yaml"
    file.write_text("models: [{ name: first, kind: fake }]\n")
    server = serve("--config", file)

    def names():
        return [model["name"] for model in server.call("/tranche/v1/info")[1]["models"]]

    file.write_text("models: [{ name: first, kind: fake }, { name: second, kind: fake }]\n")
    server.process.send_signal(signal.SIGHUP)
    server.log("configuration reloaded")
    assert names()[:2] == ["first", "second"]
    file.write_text("service: { lines_max: 8k }\n")
    server.process.send_signal(signal.SIGHUP)
    assert "8k" in server.log("not reloaded")
    assert names()[:2] == ["first", "second"]
    assert server.end()[0] == OK


def reloaded(server, file, text):
    file.write_text(text)
    server.process.send_signal(signal.SIGHUP)
    server.log("configuration reloaded")


def test_replaced_models_are_closed_and_hundreds_of_reloads_leave_no_thread(tranche, serve):
    """Each reload changes the model, and a call makes it one in use: more of them than may be at once."""
    file = tranche.folder / "c.yaml"
    text = "models: [{{ name: m, kind: fake, fake: {{ window: {} }} }}]\n"
    file.write_text(text.format(1))
    server = serve("--config", file)
    body = '{"contents":[{"parts":[{"text":"a"}]}]}'

    def threads():
        return len(os.listdir(f"/proc/{server.process.pid}/task"))

    def settle():
        end = time.monotonic() + 60
        while threads() > before + 5 and time.monotonic() < end:
            time.sleep(0.05)
        assert threads() <= before + 5

    before = threads()
    for window in range(2, 262):
        reloaded(server, file, text.format(window))
        status, answer = server.call("/v1beta/models/m:generateContent", "POST", body)
        assert status == 200, answer
        if window % 100 == 0:
            settle()
    settle()
    assert server.end()[0] == OK


def test_replaced_configurations_leave_no_memory(tranche, serve):
    """Each has 0.9 MB of texts, and a job that runs keeps the one that it began with."""
    file = tranche.folder / "c.yaml"
    answers = "".join(f"      - {{ match: 'never {i}', text: '{'x' * 4000}' }}\n" for i in range(220))
    text = ("models:\n"
            "  - { name: stays, kind: fake }\n"
            "  - { name: slow, kind: fake, fake: { faults: [{ hang: true }] } }\n"
            "  - name: big\n    kind: fake\n    fake:\n      window: %d\n      answers:\n" + answers.replace("      -", "        -"))
    upstream = "upstreams: [{ name: u, url: 'http://127.0.0.1:9/%d' }]\n"
    file.write_text(text % 1 + upstream % 1)
    # the address sanitizer holds freed memory back
    tranche.environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    server = serve("--config", file)
    tranche.environment["TRANCHE_SERVER"] = server.url
    tranche.write("in.jsonl", request("x"))
    assert tranche("submit", "in.jsonl", "--model", "slow").returncode == OK
    body = '{"contents":[{"parts":[{"text":"a"}]}]}'

    def resident():
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) // 1024

    def round_of(i):
        reloaded(server, file, text % (i + 2) + upstream % i)
        for model in ("big", "stays"):
            status, answer = server.call(f"/v1beta/models/{model}:generateContent", "POST", body)
            assert status == 200, answer
        assert server.call("/readyz")[0] == 200

    for i in range(50):
        round_of(i)
    before = resident()
    for i in range(50, 150):
        round_of(i)
    end = time.monotonic() + 60
    while resident() > before + 40 and time.monotonic() < end:
        time.sleep(0.1)
    assert resident() <= before + 40
    assert server.end()[0] == OK


@pytest.fixture
def model_file(tranche):
    """A copy of a small model, whose time a test may change."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    found = sorted(cache.glob("tranche/deps*/models/smollm2-135m-instruct.gguf"))
    if not found:
        pytest.skip("scripts/setup has not fetched the built-in model")
    return shutil.copy(found[0], tranche.folder / "m.gguf")


@pytest.mark.parametrize("before, after", [("threads: 1", "threads: 2"), ("engine: fast", "engine: plain"),
                                           ("context: 512", "context: 1024")])
def test_a_reload_with_any_other_setting_of_a_model_loads_it_anew(tranche, serve, model_file, before, after):
    file = tranche.folder / "c.yaml"
    text = f"models: [{{{{ name: m, file: {model_file}, {{}} }}}}]\n"
    file.write_text(text.format(before))
    server = serve("--config", file)
    body = '{"contents":[{"parts":[{"text":"a"}]}]}'
    assert server.call("/v1beta/models/m:countTokens", "POST", body)[0] == 200
    reloaded(server, file, text.format(before))
    assert server.call("/v1beta/models/m:countTokens", "POST", body)[0] == 200
    reloaded(server, file, text.format(after))
    server.log("a model that the configuration replaced is closed")
    assert server.call("/v1beta/models/m:countTokens", "POST", body)[0] == 200
    os.utime(model_file)
    reloaded(server, file, text.format(after))
    server.log("a model that the configuration replaced is closed")
    assert server.end()[0] == OK


def test_only_serve_and_keys_create_make_a_state(tranche):
    for command in (("backup", "copy"), ("keys", "list"), ("keys", "revoke", "tk_x")):
        done = tranche(*command, "--state", "typo")
        assert done.returncode == USAGE and "no state in typo" in done.stderr, done.stderr
        assert not (tranche.folder / "typo").exists() and not (tranche.folder / "copy").exists()


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1", "127.0.0.1:99999", "0.0.0.0:0"])
def test_a_start_that_is_refused_creates_nothing(tranche, listen):
    done = tranche("serve", "--listen", listen, "--state", "fresh")
    assert done.returncode == USAGE, done.stderr
    assert not (tranche.folder / "fresh").exists()


def test_a_backup_of_a_running_server_can_be_served(tranche, serve):
    server = serve()
    key = {"x_goog_api_key": make_key(tranche)}
    done = tranche("backup", "--state", "state", "copy")
    assert done.returncode == OK, done.stderr
    assert tranche("backup", "--state", "state", "copy").returncode != OK
    server.end()
    copy = serve(state="copy")
    assert copy.call(JOBS.format("p1"), **key)[0] == 200
    assert copy.error(JOBS.format("p1"))[0] == 401
