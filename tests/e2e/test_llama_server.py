"""`tranche run --upstream` with a server that was not written for it: llama-server with the default model.

What the model says is of no interest here, only that each thing asked for reaches the server and that its
reply comes back as Gemini's: counts, order, forms, calls and errors."""
import json

import pytest

import llama_server
from conftest import request, text_of

OK, SOME_FAILED = 0, 1
GREEDY = {"temperature": 0, "maxOutputTokens": 12}
CITIES = {"type": "OBJECT", "properties": {"city": {"type": "STRING", "enum": ["Oslo", "Paris", "Rome"]}},
          "required": ["city"]}
TOOLS = [{"functionDeclarations": [
    {"name": "get_weather", "description": "Weather of a city", "parameters": CITIES},
    {"name": "get_time", "description": "Time in a city", "parameters": CITIES}]}]

pytestmark = pytest.mark.skipif(not llama_server.program(), reason="LLAMA_SERVER is not set")


@pytest.fixture(scope="module")
def server():
    with llama_server.running("-np", 4, "-c", 8192) as started:
        yield started


@pytest.fixture
def run(tranche, server):
    return runner(tranche, server)


def runner(tranche, server, exit_code=OK):
    """Sends requests through the server and gives the rows."""
    def run(*requests):
        tranche.write("in.jsonl", *requests)
        done = tranche("run", "in.jsonl", "--upstream", server.url, "--model", llama_server.NAME,
                       "-o", "out.jsonl")
        assert done.returncode == exit_code, done.stderr
        return tranche.rows("out.jsonl")
    return run


def said(role, text):
    return {"role": role, "parts": [{"text": text}]}


def candidate(row):
    (only,) = row["response"]["candidates"]
    return only


# ---- A batch ----


def test_every_line_of_a_batch_is_answered_in_its_place_with_its_counts(run, root):
    lines = (root / "bench/workloads/classify500.jsonl").read_text().splitlines()[:40]
    rows = run(*lines)
    assert [row["key"] for row in rows] == [json.loads(line)["key"] for line in lines]
    for row in rows:
        usage = row["response"]["usageMetadata"]
        assert usage["promptTokenCount"] > 100 and 0 < usage["candidatesTokenCount"] <= 16
        assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"]
        assert candidate(row)["content"]["role"] == "model"
        assert llama_server.NAME in row["response"]["modelVersion"]


def test_prompt_tokens_from_the_servers_cache_are_told(run):
    common = "Answer with the name of a colour and nothing else, whatever the user says to you. "
    asked = [request(common + word, **GREEDY) for word in ("Sky.", "Grass.", "Snow.", "Blood.", "Coal.",
                                                           "Gold.", "Rust.", "Milk.")]
    rows = run(*asked)
    assert sum(row["response"]["usageMetadata"].get("cachedContentTokenCount", 0) for row in rows) > 0


def test_a_server_that_still_loads_its_model_is_waited_for(tranche):
    server = llama_server.Server("-c", 2048)
    try:
        (row,) = runner(tranche, server)(request("Say yes", **GREEDY))
    finally:
        server.stop()
    assert text_of(row)


# ---- What a request may ask ----


def test_every_turn_of_a_conversation_reaches_the_model(run, server):
    turns = [("user", "I am Ada."), ("model", "Hello Ada."), ("user", "Who am I?")]
    (row,) = run({"request": {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [said(*turn) for turn in turns], "generationConfig": GREEDY}})
    roles = {"user": "user", "model": "assistant"}
    direct = server.chat([{"role": "system", "content": "Be brief."},
                          *({"role": roles[role], "content": text} for role, text in turns)],
                         max_tokens=1)
    assert row["response"]["usageMetadata"]["promptTokenCount"] == direct["usage"]["prompt_tokens"]


def test_an_answer_follows_its_schema(run):
    schema = {"type": "OBJECT", "required": ["city", "warm"], "properties": {
        "city": {"type": "STRING", "enum": ["Paris", "Rome"]}, "warm": {"type": "BOOLEAN"}}}
    (row,) = run(request("Where is the Eiffel Tower?", temperature=0, maxOutputTokens=80,
                         responseMimeType="application/json", responseSchema=schema))
    answer = json.loads(text_of(row))
    assert answer["city"] in ("Paris", "Rome") and isinstance(answer["warm"], bool)


def test_an_answer_is_one_of_an_enumeration(run):
    (row,) = run(request("Is water wet?", temperature=0, maxOutputTokens=20, responseMimeType="text/x.enum",
                         responseSchema={"type": "STRING", "enum": ["POSITIVE", "NEGATIVE"]}))
    assert text_of(row) in ("POSITIVE", "NEGATIVE")


def test_a_limit_of_tokens_and_a_stop_sequence_end_an_answer(run):
    (row,) = run(request("Tell me a story.", **GREEDY))
    assert candidate(row)["finishReason"] == "MAX_TOKENS"
    assert row["response"]["usageMetadata"]["candidatesTokenCount"] == 12
    begin, stop, _ = text_of(row).partition(text_of(row).split()[4])
    (row,) = run(request("Tell me a story.", **GREEDY, stopSequences=[stop]))
    assert candidate(row)["finishReason"] == "STOP"
    assert text_of(row).rstrip() == begin.rstrip()


def test_log_probabilities_of_the_chosen_and_the_best_tokens_come_back(run):
    (row,) = run(request("Say yes", **GREEDY, responseLogprobs=True, logprobs=3))
    result = candidate(row)["logprobsResult"]
    chosen = result["chosenCandidates"]
    assert "".join(one["token"] for one in chosen).startswith(text_of(row))
    assert all(one["logProbability"] <= 0 for one in chosen)
    assert [len(step["candidates"]) for step in result["topCandidates"]] == [3] * len(chosen)
    assert candidate(row)["avgLogprobs"] < 0


def test_log_probabilities_without_a_number_are_of_the_chosen_tokens(run):
    (row,) = run(request("Say yes", **GREEDY, responseLogprobs=True))
    assert candidate(row)["logprobsResult"]["chosenCandidates"]


def test_as_many_candidates_as_asked_for_come_back(run):
    (row,) = run(request("Name a colour", temperature=1, seed=7, maxOutputTokens=8, candidateCount=2))
    assert [one.get("index", 0) for one in row["response"]["candidates"]] == [0, 1]
    assert all(one["content"]["parts"][0]["text"] for one in row["response"]["candidates"])


def test_a_seed_gives_the_same_answer_again(run):
    asked = request("Name an animal and tell why you like it", temperature=1, seed=11, maxOutputTokens=8)
    (first,), (other,) = run(asked), run(dict(asked, key="again"))
    assert text_of(first) == text_of(other)


# ---- Embeddings ----


def test_texts_are_embedded(tranche):
    asked = [{"request": {"content": {"parts": [{"text": text}]}}}
             for text in ("A cat sleeps.", "Prices fell on Monday.", "A cat sleeps.")]
    with llama_server.running("-c", 512, "--embeddings", "--pooling", "mean") as server:
        first, other, again = runner(tranche, server)(*asked)
    values = first["response"]["embedding"]["values"]
    assert len(values) == len(other["response"]["embedding"]["values"]) > 100
    assert values == pytest.approx(again["response"]["embedding"]["values"], abs=1e-3)
    assert int(first["response"]["tokenCount"]) > 0


# ---- Calls ----


def called(name, city):
    return {"role": "model", "parts": [{"functionCall": {"name": name, "args": {"city": city}}}]}


def result(name, value):
    return {"role": "user", "parts": [{"functionResponse": {"name": name, "response": value}}]}


HISTORY = [said("user", "Call get_weather for Paris"), called("get_weather", "Paris"),
           result("get_weather", {"celsius": 3}), said("model", "It is 3 degrees in Paris.")]


def test_the_call_that_must_be_made_comes_back_with_its_arguments(tranche):
    forced = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_time"]}}
    asked = {"contents": [*HISTORY, said("user", "Call get_weather for Oslo")], "tools": TOOLS,
             "toolConfig": forced, "generationConfig": {"temperature": 0, "maxOutputTokens": 300}}
    with llama_server.running("-c", 2048, "-np", 1, "--chat-template-file", llama_server.template("calls"),
                              "--chat-template-kwargs", '{"reasoning":false}') as server:
        (row,) = runner(tranche, server)({"request": asked})
    (part,) = candidate(row)["content"]["parts"]
    assert part["functionCall"]["name"] == "get_time"
    assert part["functionCall"]["args"]["city"] in CITIES["properties"]["city"]["enum"]
    assert candidate(row)["finishReason"] == "STOP"


def test_the_result_of_a_call_reaches_the_model(tranche):
    asked = {"contents": [*HISTORY, said("user", "Call get_weather for Oslo"),
                          called("get_weather", "Oslo"), result("get_weather", {"celsius": 19})],
             "tools": TOOLS, "generationConfig": {"temperature": 0, "maxOutputTokens": 30}}
    with llama_server.running("-c", 2048, "-np", 1,
                              "--chat-template-file", llama_server.template("tools")) as server:
        (row,) = runner(tranche, server)({"request": asked})
    assert "19 degrees in Oslo" in text_of(row)


# ---- Refusals ----


def test_a_prompt_that_is_too_long_fails_alone_with_the_servers_words(tranche, server):
    run = runner(tranche, server, exit_code=SOME_FAILED)
    long, short = run(request("word " * 4000, **GREEDY), request("Say yes", **GREEDY))
    assert long["status"].startswith("Bad Request") and long["response"] == {}
    assert "exceeds the available context size" in long["status"]
    assert text_of(short)


def test_more_candidates_than_the_server_gives_are_told(tranche, server):
    run = runner(tranche, server, exit_code=SOME_FAILED)
    (row,) = run(request("Name a colour", candidateCount=8, maxOutputTokens=4))
    assert "Field 'n'" in row["status"]
