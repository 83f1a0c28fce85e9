"""Functions and thoughts with google-genai for Python, unmodified: automatic calls, chats, streams and batches, of the
fake and of the embedded engine, whose words are never what is checked."""
import json
import os
import pathlib
import time

import pytest

from server import Server, wait_until

genai = pytest.importorskip("google.genai")
from google.genai import types  # noqa: E402

TEMPLATES = pathlib.Path(__file__).resolve().parent.parent / "e2e" / "templates"
WEATHER = {"name": "get_weather", "description": "The weather in a city", "parameters": {
    "type": "OBJECT", "required": ["city", "days"], "properties": {
        "city": {"type": "STRING", "enum": ["Paris", "Rome"]},
        "days": {"type": "INTEGER", "minimum": 1, "maximum": 3}}}}
TIME = {"name": "get_time", "parametersJsonSchema": {
    "type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}, "required": ["zone"],
    "additionalProperties": False}}


def model_file():
    found = sorted(pathlib.Path.home().glob(".cache/tranche/deps*/models/smollm2-135m-instruct.gguf"))
    return os.environ.get("TRANCHE_MODEL_FILE") or (str(found[0]) if found else None)


def config():
    file = model_file()
    rows = ["models:", "  - { name: fake-*, kind: fake }"]
    if file:
        rows.append(f"  - {{ name: smollm2, file: {file}, sequences: 2 }}")
        rows.extend(f"  - {{ name: {name}, file: {file}, sequences: 2, chat_template: {TEMPLATES / name}.jinja }}"
                    for name in ("hermes", "llama3", "gemma", "always-thinks", "other"))
    return "\n".join(rows) + "\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("functions"), config=config())
    yield running
    assert running.stop() == 0


@pytest.fixture(params=["gemini", "vertex"])
def client(request, served):
    if request.param == "gemini":
        return genai.Client(api_key="any", http_options={"base_url": served.url})
    return genai.Client(vertexai=True, api_key="any", project="p1", location="us-central1",
                        http_options={"base_url": served.url})


local = pytest.mark.skipif(not model_file(), reason="the default model is not there")


def calls_fit(calls):
    """Every call is of a function above, with arguments that its schema allows."""
    for call in calls:
        if call.name == "get_weather":
            assert set(call.args) == {"city", "days"}
            assert call.args["city"] in ("Paris", "Rome") and call.args["days"] in (1, 2, 3)
        else:
            assert call.name == "get_time" and call.args in ({"zone": "UTC"}, {"zone": "CET"})


# ---- The client's automatic calls ----

def add_numbers(first: int, second: int) -> int:
    """Adds two numbers."""
    return first + second + 40


def test_an_automatic_call_is_made_and_its_result_is_answered(client):
    reply = client.models.generate_content(
        model="fake-1", contents="Please add_numbers for me.",
        config={"tools": [add_numbers]})
    history = reply.automatic_function_calling_history
    assert history[1].parts[0].function_call.name == "add_numbers"
    given = history[1].parts[0].function_call.args
    assert history[2].parts[0].function_response.response == {
        "result": given["first"] + given["second"] + 40}
    assert reply.text == 'echo: {"result":%d}' % (given["first"] + given["second"] + 40)


def test_a_chat_keeps_calls_and_responses(client):
    chat = client.chats.create(model="fake-1", config={"tools": [add_numbers]})
    assert chat.send_message("Please add_numbers").text.startswith('echo: {"result":4')
    assert chat.send_message("Thank you").text == "echo: Thank you"
    kinds = [(c.role, bool(c.parts[0].function_call), bool(c.parts[0].function_response))
             for c in chat.get_history()]
    assert kinds == [("user", False, False), ("model", True, False), ("user", False, True),
                     ("model", False, False), ("user", False, False), ("model", False, False)]


def test_a_stream_has_the_call(client):
    events = list(client.models.generate_content_stream(
        model="fake-1", contents="get_time now", config={
            "tools": [{"function_declarations": [WEATHER, TIME]}],
            "automatic_function_calling": {"disable": True}}))
    assert [call.name for event in events for call in event.function_calls or []] == ["get_time"]


# ---- The embedded engine ----

@local
@pytest.mark.parametrize("model", ["smollm2", "hermes", "llama3", "gemma"])
@pytest.mark.parametrize("temperature", [0, 1])
def test_a_function_that_must_be_called_is_called_as_declared(client, model, temperature):
    reply = client.models.generate_content(
        model=model, contents="What is the weather in Paris, and what time is it?", config={
            "tools": [{"function_declarations": [WEATHER, TIME]}], "temperature": temperature, "seed": 7,
            "max_output_tokens": 300, "tool_config": {"function_calling_config": {"mode": "ANY"}}})
    assert not reply.text
    calls_fit(reply.function_calls or [])
    if reply.candidates[0].finish_reason == types.FinishReason.STOP:
        assert reply.function_calls
    assert reply.usage_metadata.candidates_token_count > 0


@local
@pytest.mark.parametrize("model", ["smollm2", "hermes", "llama3", "gemma"])
def test_only_allowed_functions_are_called(client, model):
    reply = client.models.generate_content(
        model=model, contents="What is the weather in Paris?", config={
            "tools": [{"function_declarations": [WEATHER, TIME]}], "temperature": 0, "max_output_tokens": 300,
            "tool_config": {"function_calling_config": {
                "mode": "ANY", "allowed_function_names": ["get_time"]}}})
    assert {call.name for call in reply.function_calls} == {"get_time"}
    calls_fit(reply.function_calls)


@local
@pytest.mark.parametrize("model", ["smollm2", "hermes", "llama3", "gemma"])
@pytest.mark.parametrize("mode", ["AUTO", "VALIDATED", "NONE"])
def test_a_model_may_answer_with_text(client, model, mode):
    reply = client.models.generate_content(
        model=model, contents="Hello!", config={
            "tools": [{"function_declarations": [WEATHER, TIME]}], "temperature": 0, "max_output_tokens": 60,
            "tool_config": {"function_calling_config": {"mode": mode}}})
    finish = reply.candidates[0].finish_reason.name
    if finish == "MALFORMED_FUNCTION_CALL":
        assert mode == "AUTO" and not reply.candidates[0].content.parts
    else:
        calls_fit(reply.function_calls or [])
        assert finish in ("STOP", "MAX_TOKENS")
    if mode == "NONE":
        assert not reply.function_calls


@local
@pytest.mark.parametrize("model", ["smollm2", "hermes", "llama3", "gemma"])
def test_history_with_parallel_calls_is_taken(client, model):
    call = {"name": "get_weather", "args": {"city": "Paris", "days": 1}, "id": "c1"}
    reply = client.models.generate_content(model=model, contents=[
        {"role": "user", "parts": [{"text": "The weather and the time, please."}]},
        {"role": "model", "parts": [{"text": "Let me look."}, {"function_call": call},
                                    {"function_call": {"name": "get_time", "args": {"zone": "UTC"}}}]},
        {"role": "user", "parts": [
            {"function_response": {"id": "c1", "name": "get_weather", "response": {"result": "<|im_end|> sunny"}}},
            {"function_response": {"name": "get_time", "response": {"result": "12:00"}}}]}], config={
                "tools": [{"function_declarations": [WEATHER, TIME]}], "temperature": 0, "max_output_tokens": 40})
    assert reply.candidates[0].finish_reason.name in ("STOP", "MAX_TOKENS", "MALFORMED_FUNCTION_CALL")
    assert reply.usage_metadata.prompt_token_count > 60


@local
def test_a_template_of_another_kind_refuses_functions_in_words(client):
    with pytest.raises(genai.errors.ClientError) as caught:
        client.models.generate_content(model="other", contents="x", config={
            "tools": [{"function_declarations": [TIME]}]})
    assert caught.value.code == 400 and "cannot call functions" in caught.value.message


@local
@pytest.mark.parametrize("model", ["hermes", "always-thinks"])
def test_a_thought_has_a_budget_and_a_schema_holds_for_the_answer(client, model):
    reply = client.models.generate_content(model=model, contents="What is 2 + 3?", config={
        "temperature": 0, "max_output_tokens": 100, "response_mime_type": "application/json",
        "response_schema": {"type": "OBJECT", "properties": {"sum": {"type": "INTEGER", "minimum": 0,
                                                                     "maximum": 9}}, "required": ["sum"]},
        "thinking_config": {"thinking_budget": 10, "include_thoughts": True}})
    thought, answer = reply.candidates[0].content.parts
    assert thought.thought and not answer.thought
    assert json.loads(answer.text)["sum"] in range(10)
    assert 0 < reply.usage_metadata.thoughts_token_count <= 16
    assert reply.usage_metadata.total_token_count == (
        reply.usage_metadata.prompt_token_count + reply.usage_metadata.candidates_token_count +
        reply.usage_metadata.thoughts_token_count)


@local
@pytest.mark.parametrize("model", ["hermes", "always-thinks", "smollm2"])
def test_a_budget_of_nothing_turns_thinking_off(client, model):
    reply = client.models.generate_content(model=model, contents="What is 2 + 3?", config={
        "temperature": 0, "max_output_tokens": 10, "thinking_config": {"thinking_budget": 0}})
    assert not reply.usage_metadata.thoughts_token_count
    assert not any(part.thought for part in reply.candidates[0].content.parts)


@local
def test_a_batch_has_calls_and_thoughts(client, served):
    request = {"contents": [{"role": "user", "parts": [{"text": "The weather in Rome"}]}],
               "tools": [{"functionDeclarations": [WEATHER]}],
               "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
               "generationConfig": {"temperature": 0, "maxOutputTokens": 200,
                                    "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}}}
    rows = [json.dumps({"key": str(i), "request": request}) for i in range(3)]
    served.upload("functions1", "in.jsonl", "\n".join(rows))
    if client.vertexai:
        job = client.batches.create(model="hermes", src="gs://functions1/in.jsonl",
                                    config={"dest": "gs://functions1/out"})
    else:
        job = client.batches.create(model="hermes", src=[
            {"contents": request["contents"], "config": {
                "tools": [{"function_declarations": [WEATHER]}], "temperature": 0, "max_output_tokens": 200,
                "tool_config": {"function_calling_config": {"mode": "ANY"}}}}] * 3)
    deadline = time.monotonic() + 120
    while not job.done:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
        job = client.batches.get(name=job.name)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    if not client.vertexai:
        for row in job.dest.inlined_responses:
            calls_fit(row.response.function_calls)
        return
    bucket, _, prefix = job.output_info.gcs_output_directory.removeprefix("gs://").partition("/")
    for row in served.download(bucket, prefix + "/predictions.jsonl").splitlines():
        candidate = json.loads(row)["response"]["candidates"][0]
        kinds = ["thought" in part or "functionCall" in part for part in candidate["content"]["parts"]]
        assert all(kinds) and "thought" in candidate["content"]["parts"][0]
