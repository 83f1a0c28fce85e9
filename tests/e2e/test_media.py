"""Images, videos and sounds on the embedded engine, with projectors whose weights are by chance (tests/media).

What the model says of a picture means nothing; that another picture gives another answer, the same one the same,
and that the frames are those of their times, does."""
import base64
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import urllib.request

import pytest

import llama_server
from conftest import PROGRAM, ROOT
from test_serve import JOBS, Server

sys.path.insert(0, str(ROOT / "tests" / "media"))
import hostile  # noqa: E402
import media_files  # noqa: E402
import models  # noqa: E402

OK, SOME_FAILED = 0, 1
DECODE = pathlib.Path(PROGRAM).parent / "bench_decode"
MODEL = pathlib.Path(os.environ.get("TRANCHE_CACHE", pathlib.Path.home() / ".cache/tranche")) / \
    "deps/models/smollm2-135m-instruct.gguf"
TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif", "mp4": "video/mp4",
         "mov": "video/mov", "webm": "video/webm", "wav": "audio/wav", "mp3": "audio/mp3", "flac": "audio/flac",
         "ogg": "audio/ogg", "m4a": "audio/mp4"}
QUESTION = {"text": "What is this?"}

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="the default model is not there")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder of real media and of projectors."""
    folder = tmp_path_factory.mktemp("media")
    media_files.every_format(folder / "good")
    media_files.video(folder / "colours.mp4")
    media_files.picture(folder / "red.png")
    media_files.picture(folder / "blue.png", "blue")
    media_files.picture(folder / "corner.png", "red", corner=True)
    models.write_all(folder / "models", tokenizer=MODEL)
    return folder


def config(tranche, files, context=2048):
    """A model a projector: "llava", "gemma3", "ultravox", "mixed", and "text" without one."""
    text = "models:\n" + "".join(
        f"  - {{name: {name}, kind: local, file: {MODEL}, projector: {files}/models/{name}.gguf, context: {context}}}\n"
        for name in ("llava", "gemma3", "ultravox", "mixed"))
    text += f"  - {{name: text, kind: local, file: {MODEL}, context: {context}}}\n"
    (tranche.folder / "config.yaml").write_text(text)
    return "config.yaml"


def part(path, mime=None, **more):
    data = base64.b64encode(pathlib.Path(path).read_bytes()).decode()
    return {"inlineData": {"mimeType": mime or TYPES[pathlib.Path(path).suffix[1:]], "data": data}, **more}


def line(*parts, **more):
    return {"request": {"contents": [{"role": "user", "parts": list(parts)}],
                        "generationConfig": {"temperature": 0, "maxOutputTokens": 8, **more}}}


def run(tranche, files, model, *lines, expect=OK):
    tranche.write("in.jsonl", *lines)
    done = tranche("run", "in.jsonl", "-o", "out.jsonl", "--model", model, "--config",
                   config(tranche, files), "--fresh", "--overwrite", TRANCHE_LOG="info")
    assert done.returncode == expect, done.stderr
    tranche.log = done.stderr
    return tranche.rows("out.jsonl")


def answer(row):
    """What tells answers apart: the text and how likely it was."""
    (only,) = row["response"]["candidates"]
    return only["content"]["parts"][0]["text"], only["avgLogprobs"]


def details(row):
    return {d["modality"]: d["tokenCount"]
            for d in row["response"]["usageMetadata"]["promptTokensDetails"]}


def message(row):
    assert "response" not in row or not row["response"].get("candidates"), row
    return json.loads(row["status"][row["status"].index("{"):])["error"]["message"]


# ---- Decoding ----


def decode(*arguments):
    done = subprocess.run([DECODE, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=300)
    return [json.loads(row) for row in done.stdout.splitlines()]


def near(pixel, colour):
    return all(abs(a - b) <= 12 for a, b in zip(pixel, media_files.COLOURS[colour]))


@pytest.mark.parametrize("kind", TYPES)
def test_each_format_is_decoded_as_what_it_is(files, kind):
    (row,) = decode("--type", TYPES[kind], files / "good" / f"a.{kind}")
    assert "error" not in row
    first = row["pieces"][0]
    if TYPES[kind].startswith("audio/"):
        assert abs(first["samples"] - 2 * 16000) < 2500
    else:
        assert (first["width"], first["height"]) == (64, 48)
        assert near(first["middle"], "red") and near(first["first"], "red")


def frames(files, *options):
    (row,) = decode(*options, files / "colours.mp4")
    assert "error" not in row, row
    named = []
    for piece in row["pieces"]:
        (colour,) = [c for c in media_files.COLOURS if near(piece["middle"], c)]
        named.append((piece["time_us"] / 1e6, colour))
    return named


def test_frames_are_those_that_are_shown_at_their_times(files):
    every = list(media_files.COLOURS)
    assert frames(files) == [(float(i), colour) for i, colour in enumerate(every)]
    assert frames(files, "--fps", 0.5) == [(0.0, every[0]), (2.0, every[2]), (4.0, every[4])]
    assert frames(files, "--fps", 2, "--start", 1.5, "--end", 3.2) == [
        (1.5, every[1]), (2.0, every[2]), (2.5, every[2]), (3.0, every[3])]
    # A frame is the last one at or before its time: none comes too early.
    assert frames(files, "--start", 0.95, "--end", 1.0) == [(0.95, every[0])]


def test_a_video_that_was_turned_is_seen_upright(files, tmp_path):
    turned = tmp_path / "turned.mp4"
    media_files.ffmpeg("-i", files / "colours.mp4", "-c", "copy", "-metadata:s:v", "rotate=90", turned)
    (row,) = decode(turned)
    assert {(p["width"], p["height"]) for p in row["pieces"]} == {(48, 64)}


def test_what_is_transparent_is_white(tmp_path):
    path = tmp_path / "clear.png"
    media_files.ffmpeg("-f", "lavfi", "-i", "color=red@0.0:s=16x16,format=rgba", "-frames:v", 1, path)
    (row,) = decode(path)
    assert row["pieces"][0]["middle"] == [255, 255, 255]


def test_a_large_image_is_scaled_by_the_resolution_that_is_asked_for(tmp_path):
    path = tmp_path / "large.jpg"
    media_files.picture(path, "red", "2000x1000")
    sizes = [decode("--resolution", n, path)[0]["pieces"][0] for n in range(4)]
    assert [s["width"] * s["height"] <= most for s, most in
            zip(sizes, (1792**2, 448**2, 896**2, 1792**2))] == [True] * 4
    assert (sizes[1]["width"], sizes[1]["height"]) == (633, 316)


# ---- The whole way ----


@pytest.mark.parametrize("model", ("llava", "gemma3"))
def test_another_image_gives_another_answer_and_the_same_one_the_same(tranche, files, model):
    red, blue, corner = (part(files / f"{name}.png") for name in ("red", "blue", "corner"))
    rows = run(tranche, files, model, line(red, QUESTION), line(blue, QUESTION), line(corner, QUESTION),
               line(QUESTION, red), line(red, blue, QUESTION), line(blue, red, QUESTION), line(QUESTION),
               line(part(files / "red.png"), {"text": "What is that?"}))
    answers = [answer(row) for row in rows]
    assert len({a[1] for a in answers}) == len(answers), answers
    # libllama rounds by the batch that a row is in, so the same is asked for by itself.
    alone = [answer(run(tranche, files, model, line(image, QUESTION))[0]) for image in (red, red, blue)]
    assert alone[0] == alone[1] != alone[2]


def test_usage_counts_tokens_by_modality(tranche, files):
    rows = run(tranche, files, "mixed", line(QUESTION), line(part(files / "red.png"), QUESTION),
               line(part(files / "colours.mp4", "video/mov"), QUESTION), line(part(files / "good/a.wav"), QUESTION))
    counts = [details(row) for row in rows]
    text = counts[0]["TEXT"]
    assert counts[1] == {"TEXT": text + 1, "IMAGE": 16}
    assert counts[3] == {"TEXT": text + 1, "AUDIO": 150}
    # Six frames, each behind its time.
    assert counts[2]["VIDEO"] > 6 * 16 and counts[2]["TEXT"] == text + 1
    for row in rows:
        assert sum(details(row).values()) == row["response"]["usageMetadata"]["promptTokenCount"]


def test_video_metadata_chooses_the_frames(tranche, files):
    def video(**metadata):
        return line(part(files / "colours.mp4", videoMetadata=metadata), QUESTION)

    rows = run(tranche, files, "llava", video(), video(fps=2), video(startOffset="1s", endOffset="3s"),
               video(startOffset="2s", endOffset="4s"), video(startOffset="3s", endOffset="3s"),
               video(startOffset="60s"), expect=SOME_FAILED)
    frame = details(rows[0])["VIDEO"] // 6
    assert details(rows[1])["VIDEO"] > 12 * 16
    assert details(rows[2])["VIDEO"] == details(rows[3])["VIDEO"] == 2 * frame
    assert answer(rows[2])[1] != answer(rows[3])[1]
    assert "endOffset is not behind startOffset" in message(rows[4])
    assert "startOffset is behind the end of the video" in message(rows[5])


@pytest.mark.parametrize("kind", ("wav", "mp3", "flac", "ogg", "m4a"))
def test_another_sound_gives_another_answer(tranche, files, kind):
    other = files / f"other.{kind}"
    media_files.sound(other, 1200)
    rows = run(tranche, files, "ultravox", line(part(files / "good" / f"a.{kind}"), QUESTION),
               line(part(other), QUESTION))
    assert answer(rows[0])[1] != answer(rows[1])[1]


def test_a_file_is_encoded_once_for_all_lines_that_use_it(tranche, files):
    red = part(files / "red.png")
    lines = [line(red, {"text": f"Question {i}: what is this?"}) for i in range(12)]
    lines += [line(part(files / "colours.mp4"), {"text": f"Question {i}"}) for i in range(4)]
    rows = run(tranche, files, "llava", *lines)
    assert "7 encoded" in tranche.log  # an image and six frames
    cached = [row["response"]["usageMetadata"].get("cachedContentTokenCount", 0) for row in rows]
    assert sum(c >= 16 for c in cached[:12]) >= 8  # the image's rows are a shared prefix


# ---- What is refused ----


def test_a_model_without_vision_says_so_at_validation(tranche, files):
    tranche.write("in.jsonl", line(part(files / "red.png"), QUESTION))
    done = tranche("validate", "in.jsonl", "--model", "text", "--config", config(tranche, files))
    assert done.returncode != OK
    assert "contents[0].parts[0]" in done.stdout + done.stderr and "cannot take images" in done.stdout + done.stderr
    tranche.write("in.jsonl", line(part(files / "good/a.wav"), QUESTION))
    done = tranche("validate", "in.jsonl", "--model", "llava", "--config", "config.yaml")
    assert "cannot take sounds" in done.stdout + done.stderr


def test_each_wrong_file_is_an_error_of_its_line_that_says_why(tranche, files):
    png = part(files / "red.png")
    gone = {"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/none.png"}}
    heic = {"inlineData": {"mimeType": "image/heic", "data": base64.b64encode(
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").decode()}}
    rows = run(tranche, files, "llava", line(png, QUESTION), line(part(files / "red.png", "image/jpeg"), QUESTION),
               line(gone, QUESTION), line(heic, QUESTION), line(part(files / "good/a.wav", "video/mp4"), QUESTION),
               line(png, {"text": "a <__tranche_media__> b"}), expect=SOME_FAILED)
    assert answer(rows[0])
    assert message(rows[1]) == "contents[0].parts[0]: The file is PNG, and not image/jpeg as its mimeType says."
    assert "gs://bucket/none.png cannot be read here" in message(rows[2])
    assert "HEIC images are not decoded here" in message(rows[3])
    assert "The file is WAV, and not video/mp4" in message(rows[4])
    assert "spells <__tranche_media__>" in message(rows[5])


def test_more_media_than_a_model_takes_are_refused_at_validation(tranche, files):
    video = part(files / "colours.mp4")
    rows = run(tranche, files, "llava", line(*[video] * 11, QUESTION), expect=SOME_FAILED)
    assert "more than 10 videos" in message(rows[0])


def test_a_hostile_file_is_an_error_of_its_line_and_of_no_other(tranche, files, tmp_path):
    """More than 150 files that lie, end early, ask for too much memory or name others."""
    (tmp_path / "good").symlink_to(files / "good")
    listed = hostile.write_all(tmp_path)
    assert len(listed) >= 150
    lines = [line(part(tmp_path / bad["name"], bad["mimeType"]), QUESTION) for bad in listed]
    rows = run(tranche, files, "mixed", line(part(files / "red.png"), QUESTION), *lines,
               line(part(files / "blue.png"), QUESTION), expect=SOME_FAILED)
    assert len(rows) == len(listed) + 2
    assert answer(rows[0]) != answer(rows[-1])
    for bad, row in zip(listed, rows[1:-1]):
        assert "parts[0]" in message(row), (bad, row)
        assert "killed" not in message(row), (bad, row)


def broken_projectors(files):
    good = (files / "models/llava.gguf").read_bytes()
    for at in (0, 3, 20, 200, 1000, 5000, len(good) // 2):
        yield f"cut at {at}", good[:at]
    for name, value in ((b"block_count", 2**31 - 1), (b"attention.head_count", 0), (b"image_size", 0),
                        (b"patch_size", 0), (b"embedding_length", 7), (b"image_size", 2**31 - 1)):
        at = good.index(name) + len(name) + 4
        yield f"{name.decode()} is {value}", good[:at] + value.to_bytes(4, "little") + good[at + 4:]
    yield "the model itself", MODEL.read_bytes()[:1 << 20]
    for name in (b"mm.2.weight", b"v.position_embd.weight", b"v.blk.0.ffn_up.weight"):
        yield f"without {name.decode()}", good.replace(name, b"x" * len(name))


def test_a_malformed_projector_is_refused_when_the_model_is_opened(tranche, files):
    tranche.write("in.jsonl", line(QUESTION))
    for what, data in broken_projectors(files):
        (tranche.folder / "broken.gguf").write_bytes(data)
        (tranche.folder / "broken.yaml").write_text(
            f"models:\n  - {{name: m, kind: local, file: {MODEL}, projector: broken.gguf, context: 512}}\n")
        done = tranche("run", "in.jsonl", "-o", "out.jsonl", "--model", "m", "--config", "broken.yaml",
                       "--fresh", "--overwrite")
        assert 0 < done.returncode < 100, (what, done.returncode, done.stderr)
        assert "projector" in done.stderr or "GGUF" in done.stderr, (what, done.stderr)


# ---- The service ----


def put(server, name, data, mime):
    request = urllib.request.Request(
        f"{server.url}/upload/storage/v1/b/cloud-samples-data/o?uploadType=media&name={name}", data=data,
        method="POST", headers={"Content-Type": mime})
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert reply.status == 200


# The two multimodal examples of "Get batch inferences for Gemini", as they are printed there.
EXAMPLES = [
    {"request": {"contents": [{"role": "user", "parts": [
        {"text": "What is the relation between the following video and image samples?"},
        {"fileData": {"fileUri": "gs://cloud-samples-data/generative-ai/video/animals.mp4",
                      "mimeType": "video/mp4"}},
        {"fileData": {"fileUri": "gs://cloud-samples-data/generative-ai/image/cricket.jpeg",
                      "mimeType": "image/jpeg"}}]}]}},
    {"request": {"contents": [{"role": "user", "parts": [
        {"text": "Describe what is happening in this video."},
        {"fileData": {"fileUri": "gs://cloud-samples-data/generative-ai/video/another_video.mov",
                      "mimeType": "video/mov"}}]}]}},
]


def test_the_examples_of_the_page_run_as_printed_over_objects_of_the_store(tranche, files):
    server = Server(tranche, "--config", config(tranche, files, 320))  # which ends the answers
    try:
        server.call("/storage/v1/b?project=p1", method="POST", body=json.dumps({"name": "cloud-samples-data"}))
        put(server, "generative-ai/video/animals.mp4", (files / "colours.mp4").read_bytes(), "video/mp4")
        put(server, "generative-ai/image/cricket.jpeg", (files / "good/a.jpg").read_bytes(), "image/jpeg")
        put(server, "generative-ai/video/another_video.mov", (files / "good/a.mov").read_bytes(), "video/mov")
        missing = json.loads(json.dumps(EXAMPLES[1]).replace("another_video", "no_video"))
        put(server, "in.jsonl", "".join(json.dumps(e) + "\n" for e in [*EXAMPLES, missing]).encode(),
            "application/jsonl")
        done = tranche("submit", "gs://cloud-samples-data/in.jsonl", "--server", server.url, "--model", "llava",
                       "-o", "gs://cloud-samples-data/out", "--watch", timeout=300)
        job = server.call(JOBS.format("default") + "?pageSize=1")[1]["batchPredictionJobs"][0]
        folder = job["outputInfo"]["gcsOutputDirectory"].removeprefix("gs://cloud-samples-data/")
        name = urllib.request.quote(f"{folder}/predictions.jsonl", safe="")
        with urllib.request.urlopen(f"{server.url}/storage/v1/b/cloud-samples-data/o/{name}?alt=media") as reply:
            rows = [json.loads(row) for row in reply.read().decode().splitlines()]
        assert set(details(rows[0])) == {"TEXT", "VIDEO", "IMAGE"}, done.stderr
        assert set(details(rows[1])) == {"TEXT", "VIDEO"}
        assert "no_video" in rows[2]["status"]
        # The same online.
        status, reply = server.call("/v1beta/models/llava:generateContent", method="POST",
                                    body=json.dumps({**EXAMPLES[0]["request"],
                                                     "generationConfig": {"maxOutputTokens": 4}}))
        assert status == 200 and reply["usageMetadata"]["promptTokensDetails"][1]["modality"] == "IMAGE"
    finally:
        server.end()


# ---- Upstream servers ----


class Seeing(http.server.BaseHTTPRequestHandler):
    """An OpenAI server that keeps the images it is sent."""

    seen = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for piece in body["messages"][0]["content"]:
            if piece["type"] == "image_url":
                self.seen.append(base64.b64decode(piece["image_url"]["url"].split(",", 1)[1]))
        reply = json.dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "red"}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def do_GET(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


def test_an_upstream_server_gets_the_pixels(tranche, files):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Seeing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        tranche.write("in.jsonl", line(part(files / "red.png"), QUESTION), line(part(files / "blue.png"), QUESTION))
        done = tranche("run", "in.jsonl", "-o", "out.jsonl", "--model", "m", "--upstream",
                       f"http://127.0.0.1:{server.server_port}/v1")
        assert done.returncode == OK, done.stderr
    finally:
        server.shutdown()
        server.server_close()
    colours = []
    for i, data in enumerate(Seeing.seen):
        path = tranche.folder / f"{i}.png"
        path.write_bytes(data)
        colours += [c for c in ("red", "blue") if near(decode(path)[0]["pieces"][0]["middle"], c)]
    assert sorted(colours) == ["blue", "red"]


# The model, its projector, and how far the logarithms may be apart: Q8_0 rounds by the batch, halves do not.
SAME = {"llava": (MODEL, 0.15), "gemma3": (MODEL, 0.15), "qwen2vl": ("qwen2vl-text.gguf", 0.01)}


@pytest.mark.skipif(not llama_server.program(), reason="LLAMA_SERVER is not set")
@pytest.mark.parametrize("name", SAME)
def test_a_real_server_with_the_same_projector_computes_the_same(tranche, files, monkeypatch, name):
    """Rows that attend backwards only, to each other both ways, and with positions in two dimensions."""
    model, apart = files / "models" / SAME[name][0], SAME[name][1]
    images = [part(files / f"{image}.png") for image in ("red", "corner", "blue")]
    wanted = {"maxOutputTokens": 2, "responseLogprobs": True}
    # Texts and media are joined by a line feed here, by nothing there.
    upstream = [line(image, {"text": "\nWhat is this?"}, **wanted) for image in images]
    upstream.append(line({"text": "A\n"}, images[0], {"text": "\nB\n"}, images[2], {"text": "\nC"}, **wanted))
    own = [line(image, QUESTION, **wanted) for image in images]
    own.append(line({"text": "A"}, images[0], {"text": "B"}, images[2], {"text": "C"}, **wanted))
    monkeypatch.setenv("MODEL", str(model))
    projector = files / f"models/{name}.gguf"
    with llama_server.running("-np", 1, "-c", 4096, "--mmproj", projector) as server:
        tranche.write("in.jsonl", *upstream)
        done = tranche("run", "in.jsonl", "-o", "there.jsonl", "--model", llama_server.NAME, "--upstream",
                       server.url)
        assert done.returncode == OK, done.stderr
    (tranche.folder / "same.yaml").write_text(
        f"models:\n  - {{name: m, kind: local, file: {model}, projector: {projector}, context: 2048}}\n")
    tranche.write("in.jsonl", *own)
    done = tranche("run", "in.jsonl", "-o", "here.jsonl", "--model", "m", "--config", "same.yaml")
    assert done.returncode == OK, done.stderr
    for here, there in zip(tranche.rows("here.jsonl"), tranche.rows("there.jsonl")):
        counts = [row["response"]["usageMetadata"]["promptTokenCount"] for row in (here, there)]
        chosen = [row["response"]["candidates"][0]["logprobsResult"]["chosenCandidates"][0] for row in (here, there)]
        assert counts[0] == counts[1]
        assert chosen[0]["token"] == chosen[1]["token"], (here, there)
        assert abs(chosen[0]["logProbability"] - chosen[1]["logProbability"]) < apart
