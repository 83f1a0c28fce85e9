"""The stub of an inference server does what its options say: what other tests conclude from it is only
as good as it is. Faults are looked at as bytes on a socket, because no client would show them."""
import json

import pytest

from upstream import CHAT, GENERATE, Upstream, chat_body, generate_body, post


def read_all(connection):
    """Until the far side ends it."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        data += b"<RST>"
    return data


def read_reply(connection, data=b""):
    """One reply by its Content-Length: head, body, and what came after it."""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, f"ended in the head: {data!r}"
        data += piece
    head, data = data.split(b"\r\n\r\n", 1)
    length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    while len(data) < length:
        piece = connection.recv(65536)
        assert piece, f"ended in the body: {data!r}"
        data += piece
    return head, data[:length], data[length:]


def wait_for(stub, name, value):
    """A number of the statistics; the stub sees a closed connection a moment later."""
    while stub.stats()[name] != value:
        pass


# ---- Answers ----


@pytest.mark.parametrize("text", ["hello", 'a "quote", \\ and\nlines', "Grüße 🙂", ""])
def test_an_answer_repeats_the_last_user_text_in_both_dialects(text):
    with Upstream() as stub:
        status, _, body = stub.call("POST", CHAT, chat_body(text, "be kind"))
        answer = json.loads(body)
        assert status == 200
        assert answer["choices"][0]["message"]["content"] == "echo: " + text
        assert answer["usage"]["total_tokens"] == (
            answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"])
        for path in (GENERATE, "/v1/projects/p/locations/l/publishers/google/models/m:generateContent"):
            status, _, body = stub.call("POST", path, generate_body(text))
            candidate = json.loads(body)["candidates"][0]
            assert status == 200 and candidate["finishReason"] == "STOP"
            assert candidate["content"]["parts"] == [{"text": "echo: " + text}]


def test_of_several_messages_and_parts_the_last_of_the_user_counts():
    with Upstream() as stub:
        _, _, body = stub.call("POST", CHAT, {"messages": [
            {"role": "user", "content": "first"}, {"role": "assistant", "content": "yes"},
            {"content": [{"type": "text", "text": "one"}, {"text": "two", "type": "text"}],
             "role": "user"}, {"role": "assistant", "content": "no"}]})
        assert json.loads(body)["choices"][0]["message"]["content"] == "echo: two"


def test_embeddings_come_one_an_input():
    with Upstream() as stub:
        _, _, body = stub.call("POST", "/v1/embeddings", {"input": ["a", "b", "a"]})
        vectors = [d["embedding"] for d in json.loads(body)["data"]]
        assert vectors[0] == vectors[2] != vectors[1]


def test_a_body_that_is_no_json_is_answered_all_the_same():
    with Upstream() as stub:
        for body in (b"", b"{", b'{"messages', b'{"messages":[{"role":"user","content":"', b"[[[", b'"'):
            assert stub.call("POST", CHAT, body)[0] == 200


def test_pipelined_requests_are_answered_in_order():
    with Upstream("--latency-ms", 1) as stub, stub.connect() as connection:
        texts = [f"text {i}" for i in range(50)]
        connection.sendall(b"".join(post(CHAT, chat_body(t)) for t in texts))
        rest = b""
        for text in texts:
            _, body, rest = read_reply(connection, rest)
            assert json.loads(body)["choices"][0]["message"]["content"] == "echo: " + text
        assert rest == b""


def test_a_request_may_come_byte_by_byte():
    with Upstream() as stub, stub.connect() as connection:
        for byte in post(CHAT, chat_body("slow")):
            connection.sendall(bytes([byte]))
        assert b"echo: slow" in read_reply(connection)[1]


def test_a_client_that_expects_100_gets_it_before_it_sends_the_body():
    with Upstream() as stub, stub.connect() as connection:
        head, body = post(CHAT, chat_body("big")).split(b"\r\n\r\n", 1)
        connection.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b"echo: big" in read_reply(connection)[1]


@pytest.mark.parametrize("request_bytes, status", [
    (b"nonsense\r\n\r\n", 400),
    (b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
    (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 67108865\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000, 431),
])
def test_what_it_does_not_read_is_refused_and_the_connection_ends(request_bytes, status):
    with Upstream() as stub, stub.connect() as connection:
        connection.sendall(request_bytes)
        assert read_all(connection).startswith(b"HTTP/1.1 %d " % status)


def test_a_dialect_that_is_not_spoken_is_not_found():
    with Upstream("--dialect", "gemini") as stub:
        assert stub.chat("x")[0] == 404
        assert stub.call("POST", GENERATE, generate_body("x"))[0] == 200
        assert stub.call("GET", "/health")[0] == 200


@pytest.mark.parametrize("headers, status", [
    ({}, 401), ({"Authorization": "Bearer no"}, 401), ({"x-goog-api-key": "s3cret2"}, 401),
    ({"Authorization": "Bearer s3cret"}, 200), ({"X-Goog-Api-Key": "s3cret"}, 200)])
def test_a_key_is_asked_for(headers, status):
    with Upstream("--key", "s3cret") as stub:
        assert stub.chat("x", **headers)[0] == status
        assert stub.stats()["denied"] == (status == 401)


# ---- Limits ----


def test_more_than_slots_and_queue_is_refused_and_those_that_left_make_room():
    with Upstream("--slots", 2, "--queue", 1, "--fault", "hang:1") as stub:
        open_ = [stub.connect() for _ in range(3)]
        for number, connection in enumerate(open_):
            connection.sendall(post(CHAT, chat_body(f"hangs {number}")))
        wait_for(stub, "requests", 3)
        assert (stub.stats()["busy"], stub.stats()["queue_max"]) == (2, 1)
        status, headers, _ = stub.chat("one too many")
        assert (status, headers["Retry-After"]) == (429, "1")
        open_.pop().close()
        wait_for(stub, "abandoned", 1)
        for connection in open_:
            connection.close()
        wait_for(stub, "busy", 0)
        stub.set_faults(hang=0)
        assert stub.chat("there is room")[0] == 200
        stats = stub.stats()
        assert (stats["refused"], stats["abandoned"], stats["busy_max"]) == (1, 1, 2)
        assert stats["faults"] == {"hang": 2}, "the one that waited left before its fault"


def test_more_than_rpm_in_a_window_is_told_when_to_come_back():
    with Upstream("--rpm", 2, "--window-ms", 3600000) as stub:
        assert [stub.chat(f"{i}")[0] for i in range(3)] == [200, 200, 429]
        _, headers, body = stub.call("POST", GENERATE, generate_body("x"))
        detail = json.loads(body)["error"]["details"][0]
        assert detail["@type"].endswith("google.rpc.RetryInfo")
        assert 3500 < float(detail["retryDelay"].rstrip("s")) <= int(headers["Retry-After"]) <= 3600
        assert (stub.stats()["limited"], stub.stats()["window_max"]) == (2, 2)


def test_a_system_message_is_remembered_until_newer_ones_take_its_place():
    with Upstream("--prefix-cache", 2) as stub:
        def cached(system):
            body = stub.call("POST", GENERATE, generate_body("x", system))[2]
            return json.loads(body)["usageMetadata"].get("cachedContentTokenCount", 0) > 0

        assert [cached(s) for s in ("a", "a", "b", "a", "c", "a")] == [
            False, True, False, True, False, False]
        assert stub.stats()["prefix_hits"] == 2


# ---- Faults ----


def faulty(stub, kind):
    """All that a client gets for a request, when it closes after asking for one more."""
    stub.set_faults(**{kind.replace("-", "_"): 1})
    with stub.connect() as connection:
        connection.sendall(post(CHAT, chat_body("x")) + b"GET /health HTTP/1.0\r\n\r\n")
        return read_all(connection)


HEALTH = b'{"status":"ok"}'


@pytest.mark.parametrize("kind, status, marks", [
    ("bad-json", 200, b'"choices":[{'),
    ("bad-utf8", 200, b"caf\xff\xfe"),
    ("error-200", 200, b'{"error":{"message":"The model is overloaded.'),
    ("empty", 200, b'"choices":[]'),
    ("wrong-model", 404, b"The model `stub` does not exist."),
    ("http-400", 400, b'"code":400'),
    ("http-429", 429, b"Retry-After: 1\r\n"),
    ("http-500", 500, b'"code":500'),
    ("http-502", 502, b"<html>"),
    ("http-503", 503, b"Retry-After: 1\r\n"),
    ("huge-head", 200, b"X-Padding: "),
    ("slow-drip", 200, b"echo: x"),
])
def test_a_fault_that_is_a_whole_reply_leaves_the_connection_usable(kind, status, marks):
    with Upstream("--drip-ms", 0) as stub:
        data = faulty(stub, kind)
        assert data.startswith(b"HTTP/1.1 %d " % status) and marks in data and data.endswith(HEALTH)
        assert stub.stats()["faults"] == {kind: 1} and stub.stats()["answered"] == 0


def test_a_duplicate_is_two_replies():
    with Upstream() as stub:
        data = faulty(stub, "duplicate")
        assert data.count(b"echo: x") == 2 and data.endswith(HEALTH)


@pytest.mark.parametrize("kind, end", [("reset", b"<RST>"), ("truncated", b"")])
def test_half_an_answer_ends_with_its_connection(kind, end):
    with Upstream() as stub:
        data = faulty(stub, kind)
        assert data.startswith(b"HTTP/1.1 200 ") and data.endswith(end) and HEALTH not in data
        head, body = data[:len(data) - len(end)].split(b"\r\n\r\n", 1)
        assert b"Content-Length: %d\r\n" % (len(body) * 2) in head + b"\r\n" or (
            b"Content-Length: %d\r\n" % (len(body) * 2 + 1) in head + b"\r\n")


@pytest.mark.parametrize("kind, data", [("refuse", b""), ("tls", b"\x15\x03\x03\x00\x02\x02\x28")])
def test_no_reply_at_all(kind, data):
    with Upstream() as stub:
        assert faulty(stub, kind) in (data, data + b"<RST>")  # RST: it did not read what came after


def test_a_wrong_length_is_too_small_for_some_and_too_large_for_others():
    with Upstream("--fault", "wrong-length:1") as stub:
        off = set()
        for number in range(20):
            with stub.connect() as connection:
                connection.sendall(post(CHAT, chat_body(f"{number}")) + b"GET / HTTP/1.0\r\n\r\n")
                head, rest = read_all(connection).split(b"\r\n\r\n", 1)
            body = rest.split(b"HTTP/1.1 404")[0]
            json.loads(body)
            off.add(int(head.split(b"Content-Length: ")[1]) - len(body))
        assert off == {-7, 7}


@pytest.mark.parametrize("kind", ["endless", "hang"])
def test_what_never_ends_goes_on_until_the_client_leaves(kind):
    with Upstream("--fault", f"{kind}:1") as stub, stub.connect() as connection:
        connection.sendall(post(CHAT, chat_body("x")))
        wait_for(stub, "busy", 1)
        got = 0
        while kind == "endless" and got < 1 << 20:
            got += len(connection.recv(65536))
        connection.close()
        wait_for(stub, "busy", 0)
        assert stub.stats()["faults"] == {kind: 1}


# ---- Chance ----


def statuses(stub, count, rounds=1):
    return [stub.chat(f"text {i}")[0] for _ in range(rounds) for i in range(count)]


def test_the_same_seed_gives_the_same_faults_and_another_gives_others():
    seen = []
    for seed in (1, 1, 2):
        with Upstream("--seed", seed, "--fault", "http-500:30%") as stub:
            seen.append(statuses(stub, 100, 2))
    assert seen[0] == seen[1] != seen[2]
    assert 30 < seen[0].count(500) < 90, "30 % of 200, by chance"
    assert seen[0][:100] != seen[0][100:], "each attempt has its own chance"


def test_with_times_only_the_first_attempts_of_a_body_are_faulty():
    with Upstream("--fault", "http-503:50%:2") as stub:
        rounds = [statuses(stub, 50) for _ in range(3)]
        assert rounds[0] == rounds[1] and 10 < rounds[0].count(503) < 40
        assert rounds[2] == [200] * 50
        assert (stub.stats()["bodies"], stub.stats()["attempts_max"]) == (50, 3)


def test_a_reset_forgets_what_was_seen():
    with Upstream("--fault", "http-503:1:1") as stub:
        assert statuses(stub, 1, 2) == [503, 200]
        stub.reset()
        assert stub.stats()["requests"] == 0
        assert statuses(stub, 1, 2) == [503, 200]


@pytest.mark.parametrize("query", ["nothing=1", "hang=2", "hang=x", "hang=-1", "hang=1:x", "hang", "hang="])
def test_a_fault_that_is_none_is_refused(query):
    with Upstream() as stub:
        assert stub.call("POST", "/stub/faults?" + query)[0] == 400


def test_one_request_at_a_time_leaves_half_of_two_slots_idle():
    with Upstream("--slots", 2, "--latency-ms", 50) as stub, stub.connect() as connection:
        for number in range(5):
            connection.sendall(post(CHAT, chat_body(f"{number}")))
        rest = b""
        for _ in range(5):
            _, _, rest = read_reply(connection, rest)
        stats = stub.stats()
        assert stats["busy_max"] == 1 and stats["answered"] == 5
        assert stats["busy_mean"] <= 1 and 0.5 <= stats["idle_share"] < 1
