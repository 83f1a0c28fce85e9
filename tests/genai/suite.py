#!/usr/bin/env python3
"""usage: suite.py [--short] [-k EXPRESSION]

Runs google-genai's own tests, which its wheel ships, in their api mode against a `tranche serve` with the
fake model. expected.txt names every test that fails, with the reason; any other failure, and a test of
that list that passes, ends the run with 1.

The tests run as they are, from a copy, but for names of things that exist in Google's projects only: ids
of jobs are replaced by those of jobs that are made here, and Google's addresses by the server's. A job that
is cancelled has a slow model, or it would be done before. Pictures, films and documents that the wheel
leaves out are made here.

  --short  batches and embeddings only
  -k       as pytest has it; then nothing is compared

environment: TRANCHE  the program (default: build/tranche). Needs the environment of the clients
(scripts/genai-suite finds it)."""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "accept"))
from server import Server, lines, wait_until  # noqa: E402

SHORT = ["batches", "models/test_embed_content.py", "shared/batches"]
# files/test_register.py is left out: it tests the client alone, by mocks.
WHOLE = [*SHORT, *(f"files/test_{part}.py" for part in "delete download get list register_table upload".split()),
         "shared/files", "shared/models/test_embed.py",
         "shared/models/test_count_tokens.py", "shared/models/test_generate_content.py",
         "shared/models/test_generate_content_stream.py", "models/test_generate_content_tools.py",
         "models/test_generate_content_thought.py", "models/test_function_call_streaming.py", "shared/chats",
         "shared/models/test_list.py",
         "models/test_count_tokens.py", "models/test_get.py", "models/test_list.py"]
CONFIG = """models:
  - name: "gemini-slow"
    kind: fake
    fake: { delay_ms: 60000 }
  - name: "gemini-*"
    kind: fake
  - name: "*embedding*"
    kind: fake
  - name: "multilingual-*"
    kind: fake
  - { name: "2171259487439028224", kind: fake }
  - { name: "7687416965014487040", kind: fake }
  - { name: "generate*", kind: fake }
"""
PROJECT, LOCATION = "p1", "us-central1"
JOBS = f"/v1/projects/{PROJECT}/locations/{LOCATION}/batchPredictionJobs"
# Google's default credentials become a token, which a server takes that asks for no key; the client's
# default address becomes the server's. Two modules import httpx, though the package itself needs only
# httpx2, which has the same classes.
PLUGIN = '''import os
import sys

import google.auth
import httpx2
from google.auth import credentials
from google.genai import _api_client

sys.modules.setdefault("httpx", httpx2)
begin = _api_client.BaseApiClient.__init__


def begin_here(self, *arguments, **named):
    begin(self, *arguments, **named)
    if ".googleapis.com" in self._http_options.base_url:
        self._http_options.base_url = os.environ["GENAI_SUITE_URL"]


_api_client.BaseApiClient.__init__ = begin_here


class Token(credentials.Credentials):
    def __init__(self):
        super().__init__()
        self.token = "any"

    def refresh(self, request):
        pass


google.auth.default = lambda *_, **__: (Token(), "p1")
'''
DATA = {
    "png": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\6\0\0\0\x1f\x15\xc4\x89",
    "jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xd9",
    "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
    "mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "m4a": b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom",
    "mp3": b"ID3\4\0\0\0\0\0\0", "wav": b"RIFF\x24\0\0\0WAVEfmt ", "txt": b"Once upon a time.\n",
}
DATA_NAMES = ["google.png", "google.jpg", "story.pdf", "animal.mp4", "pixel.m4a", "checkerboard.png", "story.txt",
              "a-man-and-a-dog.png", "bridge1.png", "dog.jpg", "google_homepage.png", "man.jpg",
              "voice_sample.wav"]
# Files that the tests name; a caller of the Files API may choose the name.
FILES = {"s0pa54alni6w": lines(3), "mq9e3mg3u2y5": "".join(
    json.dumps({"key": str(i), "request": {"content": {"parts": [{"text": str(i)}]}}}) + "\n" for i in range(3)),
         "vjvu9fwk2qj8": lines(1), "1g583ke2xdsn": lines(1), "n1gls7dyh90q": lines(1)}


def made(answer):
    status, body = answer
    assert status == 200, body
    return body


def vertex_job(server, model="gemini-2.5-flash"):
    return made(server.call("POST", JOBS, {
        "displayName": "seed", "model": f"publishers/google/models/{model}",
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://seed/in.jsonl"]}},
        "outputConfig": {"predictionsFormat": "jsonl",
                         "gcsDestination": {"outputUriPrefix": "gs://seed/out"}}}))["name"].split("/")[-1]


def gemini_job(server, method, source, model="gemini-embedding-001"):
    body = made(server.call("POST", f"/v1beta/models/{model}:{method}",
                            {"batch": {"displayName": "seed", "inputConfig": source}}))
    return body["name"].removeprefix("batches/")


def gemini_done(server, name):
    return made(server.call("GET", f"/v1beta/batches/{name}")).get("done")


def file_make(server, name, text):
    start = urllib.request.Request(
        server.url + "/upload/v1beta/files", method="POST",
        data=json.dumps({"file": {"name": f"files/{name}", "mimeType": "application/jsonl"}}).encode(),
        headers={"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start",
                 "X-Goog-Upload-Header-Content-Type": "application/jsonl", "Content-Type": "application/json"})
    with urllib.request.urlopen(start, timeout=60) as answer:
        url = answer.headers["X-Goog-Upload-URL"]
    body = urllib.request.Request(url, data=text.encode(), method="POST", headers={
        "X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"})
    with urllib.request.urlopen(body, timeout=60) as answer:
        answer.read()


def seed(server):
    """Makes what the tests take for granted. Returns the names to replace, and by what."""
    content = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
    embed = {"content": {"parts": [{"text": "hello"}]}}
    inline = {"requests": {"requests": [{"request": content}]}}
    inline_embed = {"requests": {"requests": [{"request": embed}]}}

    server.upload("seed", "in.jsonl", lines(3))
    server.upload("unified-genai-tests", "batches/input/generate_content_requests.jsonl", lines(3))
    server.upload("unified-genai-tests", "batches/input/embedding_requests.jsonl", "".join(
        json.dumps({"content": str(i)}) + "\n" for i in range(3)))
    server.upload("unified-genai-dev", "image.jpg", DATA["jpg"], {"Content-Type": "image/jpeg"})
    for name, text in FILES.items():
        file_make(server, name, text)
    names = {
        "z2p8ksus4lyxt25rntl3fpd67p2niw4hfij5": gemini_job(server, "batchGenerateContent", inline),
        "70h2jo0ic2t1zejyl0p4jgi8mk1gj0wvjusv": gemini_job(server, "batchGenerateContent", inline),
        "wdx71o8cgbzoa6gg3be1mg7g8ulrhapcjgo3": gemini_job(server, "asyncBatchEmbedContent", inline_embed),
        "507oatd242het8ox60pwsmn7tcmtkrj8itff": gemini_job(server, "asyncBatchEmbedContent",
                                                           {"fileName": "files/mq9e3mg3u2y5"}),
    }
    for new in names.values():
        wait_until(lambda new=new: gemini_done(server, new))
    return {**names, "5798522612028014592": vertex_job(server), "7085929781874655232": vertex_job(server),
            # These are cancelled:
            "0yew7plxupyybd7appsrq5vw7w0lp3l79lab": gemini_job(server, "batchGenerateContent", inline, "gemini-slow"),
            "6339625664542408704": vertex_job(server, "gemini-slow")}


def copy_tests(folder, names):
    """The package with its tests, and the data that they open."""
    import google.genai
    source = pathlib.Path(google.genai.__file__).parent
    package = folder / "google" / "genai"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (package / "tests").rglob("test_*.py"):
        text = file.read_text()
        for old, new in names.items():
            text = text.replace(old, new)
        if file.name == "test_create_get_cancel.py":
            text = text.replace("shared.GEMINI_MODEL", "'gemini-slow'")
        file.write_text(text)
    data = package / "tests" / "data"
    data.mkdir()
    for name in DATA_NAMES:
        (data / name).write_bytes(DATA[name.split(".")[-1]])
    (folder / "genai_suite_plugin.py").write_text(PLUGIN)
    return package


def outcomes(report):
    """{test: (outcome, message)}, from pytest's report in XML."""
    found = {}
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        module = re.sub(r"^.*?tests\.", "", case.get("classname"))
        name = f"{module.replace('.', '/')}::{case.get('name')}"
        name = re.sub(r"\[(True|False)-.*\]$", lambda m: " vertex" if m[1] == "True" else " gemini", name)
        state = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        if state is None:
            found.setdefault(name, ("passed", ""))
        else:
            kind = "skipped" if state.tag == "skipped" else "failed"
            found[name] = (kind, (state.get("message") or "").split("\n")[0][:200])
    return found


def expected():
    """{test: reason}: a reason is a line with "# ", and holds for the tests below it."""
    reasons, reason = {}, ""
    for line in (HERE / "expected.txt").read_text().splitlines():
        if line.startswith("# "):
            reason = line[2:]
        elif line:
            reasons[line] = reason
    return reasons


def run(server, folder, parts, more):
    package = copy_tests(folder, seed(server))
    environment = {
        **os.environ, "PYTHONPATH": str(folder), "GOOGLE_API_KEY": "any", "GOOGLE_CLOUD_PROJECT": PROJECT,
        "GOOGLE_CLOUD_LOCATION": LOCATION, "GENAI_SUITE_URL": server.url, "GOOGLE_GENAI_REPLAYS_DIRECTORY": str(folder / "replays"),
        "PYTHONDONTWRITEBYTECODE": "1"}
    begun = time.monotonic()
    subprocess.run([sys.executable, "-P", "-m", "pytest", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-p", "no:warnings", "-p",
                    "genai_suite_plugin", "-o", "consider_namespace_packages=true", "--import-mode=importlib",
                    "--mode=api", "--timeout=60", "--continue-on-collection-errors", "-o",
                    "asyncio_default_fixture_loop_scope=function", "--junitxml", folder / "report.xml", *more,
                    *(package / "tests" / part for part in parts)], cwd=package, env=environment,
                   stdout=open(folder / "pytest.log", "w", encoding="utf-8"), stderr=subprocess.STDOUT, check=False)
    if not (folder / "report.xml").exists():
        sys.exit((folder / "pytest.log").read_text()[-3000:])
    return outcomes(folder / "report.xml"), time.monotonic() - begun


def compare(found, whole):
    reasons, wrong = expected(), []
    failed = {name: why for name, (kind, why) in found.items() if kind == "failed"}
    wrong += [f"fails: {name}: {why}" for name, why in failed.items() if name not in reasons]
    wrong += [f"passes, remove it from expected.txt: {name}" for name in reasons
              if found.get(name, ("failed" if not whole else "gone", ""))[0] != "failed"]
    count = {kind: sum(1 for k, _ in found.values() if k == kind) for kind in ("passed", "failed", "skipped")}
    print(f"google-genai's own tests: {count['passed']} passed, {count['failed']} failed"
          f" ({len(failed) - len([w for w in wrong if w.startswith('fails')])} of them expected),"
          f" {count['skipped']} skipped")
    for reason in dict.fromkeys(reasons.values()):
        print(f"  {sum(1 for n in failed if reasons.get(n) == reason):3} {reason}")
    return wrong


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("-k")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tranche-genai-") as name:
        folder = pathlib.Path(name)
        (folder / "serve").mkdir()
        server = Server(folder / "serve", config=CONFIG)
        try:
            found, seconds = run(server, folder, SHORT if o.short else WHOLE, ["-k", o.k] if o.k else [])
        finally:
            server.stop()
        if o.k:
            print((folder / "pytest.log").read_text())
            return
        wrong = compare(found, not o.short)
        print(f"  in {seconds:.0f} s")
        if wrong:
            shutil.copy(folder / "pytest.log", pathlib.Path(tempfile.gettempdir()) / "tranche-genai.log")
            sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
