"""Webhooks, registered and per job, with google-genai and a receiver of our own."""
import base64
import hashlib
import hmac
import http.server
import json
import threading
import warnings

import pytest

from server import Server, wait_until

genai = pytest.importorskip("google.genai")
warnings.filterwarnings("ignore", message=".*experimental.*")


class Receiver:
    """Takes posts; answers the first `refuse` of them with 500."""

    def __init__(self):
        self.posts = []
        self.refuse = 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.append((dict(self.headers.items()), body))
                receiver.refuse -= 1
                self.send_response(500 if receiver.refuse >= 0 else 200)
                self.end_headers()

            def log_message(self, *arguments):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.at = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, kind):
        return [(h, json.loads(b)) for h, b in self.posts if json.loads(b).get("type") == kind]


def signed(headers, body, secret):
    headers = {k.lower(): v for k, v in headers.items()}
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    want = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return want in headers["webhook-signature"].split()


@pytest.fixture(scope="module")
def receiver():
    made = Receiver()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def hooked(tmp_path_factory, receiver):
    """A server that may reach the receiver, which is on a private address."""
    folder = tmp_path_factory.mktemp("hooked")
    running = Server(folder, "--test-clock",
                     more=f"service:\n  webhook_allow:\n    - \"{receiver.at}\"\n")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def client(hooked):
    return genai.Client(api_key="any", http_options={"base_url": hooked.url})


def run_batch(client, **config):
    job = client.batches.create(model="tranche-fake", src=[
        {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}], config=config)
    return wait_until(lambda: (lambda j: j if j.done else None)(client.batches.get(name=job.name)))


def test_a_registered_webhook_is_told_and_can_check_the_signature(client, receiver):
    hook = client.webhooks.create(name="mine", uri=f"http://{receiver.at}/a",
                                  subscribed_events=["batch.succeeded"])
    secret = hook.new_signing_secret
    assert hook.id in [w.id for w in client.webhooks.list().webhooks]
    receiver.refuse = 1
    job = run_batch(client, display_name="told")
    first = wait_until(lambda: receiver.of("batch.succeeded"))
    headers, body = receiver.posts[-1]
    assert job.name.removeprefix("batches/") in json.dumps(first[0][1])
    assert signed(headers, body, secret) and not signed(headers, body + b" ", secret)
    client.webhooks.delete(hook.id)


def test_a_refused_delivery_is_tried_again_and_can_be_replayed(hooked, client, receiver):
    hook = client.webhooks.create(uri=f"http://{receiver.at}/b",
                                  subscribed_events=["batch.succeeded"])
    receiver.posts.clear()
    receiver.refuse = 1
    run_batch(client)
    wait_until(lambda: len(receiver.posts) == 1)

    def again():
        hooked.advance(10)
        return len(receiver.posts) >= 2
    wait_until(again)
    ids = [{k.lower(): v for k, v in h.items()}["webhook-id"] for h, _ in receiver.posts]
    assert len(set(ids)) == 1
    delivery = wait_until(lambda: [d for d in hooked.call("GET", "/tranche/v1/deliveries")[1]
                                   ["deliveries"] if d["state"] == "delivered"])[0]
    assert hooked.call("POST", f"/tranche/v1/deliveries/{delivery['id']}:replay")[0] == 200
    wait_until(lambda: len(receiver.posts) >= 3)
    client.webhooks.delete(hook.id)


def test_a_job_s_own_target_replaces_the_registered_ones(hooked, client, receiver):
    receiver.posts.clear()
    receiver.refuse = 0
    run_batch(client, webhook_config={"uris": [f"http://{receiver.at}/own"],
                                      "user_metadata": {"run": "7"}})
    wait_until(lambda: receiver.posts)
    headers, body = receiver.posts[0]
    secret = hooked.call("GET", "/tranche/v1/webhookSecret")[1]["secret"]
    assert signed(headers, body, secret) and b'"run"' in body


def test_private_targets_are_refused_and_named(hooked, client):
    hook = client.webhooks.create(uri="http://127.0.0.1:9/x", subscribed_events=["batch.succeeded"])
    with pytest.raises(Exception, match="(?i)private|refused|not allowed|address"):
        client.webhooks.ping(hook.id)
    client.webhooks.delete(hook.id)


def test_secrets_rotate_and_webhooks_update(client, receiver):
    hook = client.webhooks.create(uri=f"http://{receiver.at}/c", subscribed_events=["batch.failed"])
    assert client.webhooks.rotate_signing_secret(hook.id).secret.startswith("whsec_")
    assert len(client.webhooks.get(hook.id).signing_secrets) == 2
    changed = client.webhooks.update(hook.id, state="disabled")
    assert changed.state == "disabled"
    client.webhooks.ping(hook.id)
    client.webhooks.delete(hook.id)
