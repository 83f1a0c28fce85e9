"""Inputs from public reports, in tests/e2e/cases: each file stands for a kind of input that Google's
clients and documentation produce. Method: validated and run as they are, with the fake or a small server
in the place of Google's."""
import http.server
import json
import pathlib
import shutil
import threading

import pytest

from conftest import text_of

CASES = pathlib.Path(__file__).parent / "cases"
FAKE = ("--model", "tranche-fake")
OK, SOME_FAILED, INPUT = 0, 1, 3
IMAGE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}


@pytest.fixture
def google():
    """A server of both dialects that answers with a picture where one is asked for, else with JSON, and
    keeps the bodies."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        bodies = []
        constant = False  # id and text are the same in each reply
        newer = False     # max_tokens is refused, as OpenAI's newer models do

        def do_POST(self):
            self.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if self.newer and "max_tokens" in self.bodies[-1]:
                self.reply(400, {"error": {"type": "invalid_request_error", "param": "max_tokens", "message":
                                           "Unsupported parameter: 'max_tokens' is not supported with this"
                                           " model. Use 'max_completion_tokens' instead."}})
                return
            asked = json.dumps(self.bodies[-1])
            text = '{"label":"a"}' if '"label"' in asked else '{"a":"b"}'
            part = IMAGE if "IMAGE" in asked else {"text": text}
            name = "id" if self.constant else f"id-{len(self.bodies)}"
            self.reply(200, {"responseId": name,
                             "candidates": [{"content": {"role": "model", "parts": [part]},
                                             "finishReason": "STOP"}],
                             "id": name, "object": "chat.completion",
                             "choices": [{"index": 0, "finish_reason": "stop", "message": {
                                 "role": "assistant", "content": text}}]})

        def reply(self, status, body):
            answer = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}/v1beta"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def take(tranche, case):
    shutil.copy(CASES / f"{case}.jsonl", tranche.folder / "in.jsonl")
    return [json.loads(line) for line in (CASES / f"{case}.jsonl").read_text().splitlines()]


def run_at(tranche, url, *more):
    return tranche("run", "in.jsonl", "-o", "out.jsonl", "--model", "m", "--upstream", url, "--state",
                   "state", *more)


@pytest.mark.parametrize("case", ["enum-numbers", "file-without-type", "file-any-video",
                                  "response-format", "request-as-text"])
def test_a_present_spelling_is_valid_and_answered(tranche, case):
    lines = take(tranche, case)
    done = tranche("run", "in.jsonl", "-o", "out.jsonl", "--strict", *FAKE)
    assert done.returncode == OK, done.stderr
    rows = tranche.rows("out.jsonl")
    assert [row["request"] for row in rows] == [line["request"] for line in lines]


@pytest.mark.parametrize("case", ["enum-numbers", "file-without-type", "file-any-video",
                                  "modalities-image", "response-format", "request-as-text"])
def test_a_google_upstream_gets_the_request_as_it_stands(tranche, google, case):
    lines = take(tranche, case)
    done = run_at(tranche, google.url, "--dialect", "gemini")
    assert done.returncode == OK, done.stderr
    held = [line["request"] if isinstance(line["request"], dict) else json.loads(line["request"])
            for line in lines]
    bodies = google.RequestHandlerClass.bodies
    assert sorted(map(json.dumps, bodies)) == sorted(map(json.dumps, held))
    parts = tranche.rows("out.jsonl")[0]["response"]["candidates"][0]["content"]["parts"]
    assert parts == [IMAGE] or case != "modalities-image"


def test_a_text_model_refuses_to_make_an_image_in_words(tranche):
    take(tranche, "modalities-image")
    for arguments in (FAKE, ("--model", "m", "--upstream", "http://127.0.0.1:1/v1")):
        done = tranche("validate", "in.jsonl", *arguments)
        assert done.returncode == INPUT
        assert "generationConfig.responseModalities[1]: The answers of this model are text" in done.stdout


def test_an_openai_server_must_be_told_the_type_of_a_file(tranche):
    for case, words in (("file-without-type", "Add mimeType"), ("file-any-video", "takes no data of this type")):
        take(tranche, case)
        done = tranche("validate", "in.jsonl", "--model", "m", "--upstream", "http://127.0.0.1:1/v1")
        assert done.returncode == INPUT
        assert words in done.stdout


def test_a_response_format_reaches_an_openai_server(tranche, google):
    take(tranche, "response-format")
    done = run_at(tranche, google.url.replace("/v1beta", "/v1"))
    assert done.returncode == OK, done.stderr
    bodies = google.RequestHandlerClass.bodies
    assert [body["response_format"]["type"] for body in bodies] == ["json_schema"] * 2
    assert all("a" in body["response_format"]["json_schema"]["schema"]["properties"] for body in bodies)


def test_an_enum_keeps_its_type_on_the_way_to_an_openai_server(tranche, google):
    take(tranche, "enum-to-openai")
    done = run_at(tranche, google.url.replace("/v1beta", "/v1"))
    assert done.returncode == OK, done.stderr
    bodies = google.RequestHandlerClass.bodies
    forms = [body["response_format"]["json_schema"] for body in bodies if "response_format" in body]
    labels = [form["schema"]["properties"]["label"] for form in forms]
    assert sorted(labels, key=len) == [{"type": "string"}, {"type": "string", "enum": ["a", "b"]}]
    assert all(form["strict"] is True for form in forms)
    function = next(body["tools"][0]["function"] for body in bodies if "tools" in body)
    assert function["parameters"]["properties"]["unit"] == {"type": "string", "enum": ["c", "f"]}


def test_a_server_with_one_constant_reply_answers_every_line(tranche, google):
    google.RequestHandlerClass.constant = True
    tranche.write("in.jsonl", *(json.dumps({"key": i, "request": {"contents": [{"parts": [
        {"text": f"question {i}"}]}]}}) for i in range(300)))
    done = run_at(tranche, google.url.replace("/v1beta", "/v1"))
    assert done.returncode == OK, done.stderr
    assert [text_of(row) for row in tranche.rows("out.jsonl")] == ['{"a":"b"}'] * 300


def test_a_server_that_wants_max_completion_tokens_gets_them(tranche, google):
    google.RequestHandlerClass.newer = True
    tranche.write("in.jsonl", *(json.dumps({"key": i, "request": {
        "contents": [{"parts": [{"text": f"question {i}"}]}], "generationConfig": {"maxOutputTokens": 7}}})
        for i in range(100)))
    done = run_at(tranche, google.url.replace("/v1beta", "/v1"), "--max-in-flight", "4")
    assert done.returncode == OK, done.stderr
    bodies = google.RequestHandlerClass.bodies
    assert sum(body.get("max_completion_tokens") == 7 for body in bodies) == 100
    assert sum("max_tokens" in body for body in bodies) <= 4


def test_a_setting_beside_the_request_is_a_warning(tranche):
    take(tranche, "settings-beside-request")
    done = tranche("validate", "in.jsonl", *FAKE)
    assert done.returncode == OK
    found = [line for line in done.stdout.splitlines() if ": warning: " in line]
    assert len(found) == 3
    assert found[0].startswith('in.jsonl:1: warning: generation_config: "generation_config" stands beside')
    assert "in 2 lines" in done.stdout
    done = tranche("validate", "in.jsonl", *FAKE, "--json")
    *faults, end = map(json.loads, done.stdout.splitlines())
    assert [fault["warning"] for fault in faults] == [True] * 3
    assert end["summary"]["warned"] == 2 and end["summary"]["bad"] == 0


@pytest.mark.parametrize("command", [("validate", "in.jsonl"), ("run", "in.jsonl", "-o", "out.jsonl"),
                                     ("run", "--dry-run", "in.jsonl")], ids=lambda c: c[0])
def test_a_setting_beside_the_request_is_an_error_with_strict(tranche, command):
    take(tranche, "settings-beside-request")
    done = tranche(*command, *FAKE, "--strict")
    assert done.returncode == INPUT
    assert "2 of 2 lines are bad" in done.stdout + done.stderr
    assert not (tranche.folder / "out.jsonl").exists()


def test_a_run_warns_of_settings_beside_requests_and_goes_on(tranche):
    take(tranche, "settings-beside-request")
    done = tranche("run", "in.jsonl", "-o", "out.jsonl", *FAKE)
    assert done.returncode == OK
    assert "stands beside request and has no effect" in done.stderr
    assert "2 of 2 lines have warnings" in done.stderr
    assert tranche.rows("out.jsonl")[0]["generation_config"]["max_output_tokens"] == 2


def test_a_gemini_body_in_an_openai_envelope_gets_the_right_remedy(tranche):
    take(tranche, "gemini-body-in-openai-envelope")
    done = tranche("validate", "in.jsonl", *FAKE)
    assert done.returncode == INPUT
    assert 'Put what is in "body" under "request"' in done.stdout


def test_any_reader_can_read_the_row_of_a_request_that_is_too_deep(tranche):
    deep = "[" * 5000 + "]" * 5000
    tranche.write("in.jsonl", '{"key":"a","request":{"contents":' + deep + "}}",
                  '{"key":' + deep + ',"request":{"contents":[]}}', '{"key":"c","request":' + deep)
    done = tranche("run", "in.jsonl", "-o", "out.jsonl", *FAKE)
    assert done.returncode == SOME_FAILED
    rows = tranche.rows("out.jsonl")
    assert rows[0]["key"] == "a" and rows[0]["request"] == '{"contents":' + deep + "}"
    assert rows[1]["key"] == deep
    assert all("nested" in row["status"] for row in rows[:2])
    assert rows[2]["request"].startswith('{"key":"c"')
    done = tranche("run", "--retry-failed", "out.jsonl", *FAKE)
    assert done.returncode == SOME_FAILED
    again = tranche.rows("out.jsonl")
    assert [row["request"] for row in again] == [row["request"] for row in rows]
    assert again[0]["status"] == rows[0]["status"]


def test_text_answers_stay_as_they_are(tranche):
    take(tranche, "request-as-text")
    assert tranche("run", "in.jsonl", "-o", "out.jsonl", *FAKE).returncode == OK
    assert text_of(tranche.rows("out.jsonl")[0]) == "echo: Give me a recipe for banana bread."
