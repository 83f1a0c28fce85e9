"""What the packages are made of, without building one: the bill of materials, the container's files, the recording."""
import json
import os
import pathlib
import re
import subprocess
import xml.dom.minidom

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("TRANCHE", ROOT / "build" / "tranche")).resolve()


@pytest.fixture(scope="module")
def bill():
    return subprocess.run([ROOT / "scripts" / "sbom", "--program", PROGRAM], capture_output=True, text=True, check=True,
                          env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}).stdout


def test_the_bill_names_all_that_is_linked(bill):
    packages = {(p["name"], p["versionInfo"]) for p in json.loads(bill)["packages"]}
    names = {name for name, _ in packages}
    assert {"tranche", "llama.cpp", "yyjson", "nlohmann-json", "preact", "@preact/signals", "htm", "uplot", "libcurl4", "libc6",
            "libmicrohttpd-dev"} <= names
    lock = (ROOT / "tools" / "llguidance" / "Cargo.lock").read_text()
    crates = re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"\nsource', lock)
    assert len(crates) > 40 and set(crates) <= packages


def test_the_bill_is_whole_by_itself(bill):
    document = json.loads(bill)
    assert document["spdxVersion"] == "SPDX-2.3" and document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    identities = [p["SPDXID"] for p in document["packages"]]
    assert len(set(identities)) == len(identities)
    for relation in document["relationships"]:
        for end in ("spdxElementId", "relatedSpdxElement"):
            assert relation[end] in identities or relation[end] == "SPDXRef-DOCUMENT"
    assert {r["relatedSpdxElement"] for r in document["relationships"]} | {
        r["spdxElementId"] for r in document["relationships"]} >= set(identities)


def test_the_bill_is_the_same_each_time(bill):
    again = subprocess.run([ROOT / "scripts" / "sbom", "--program", PROGRAM], capture_output=True, text=True, check=True,
                           cwd="/", env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"})
    assert again.stdout == bill


def test_the_containers_configuration_is_valid(tmp_path):
    folder = ROOT / "packages" / "container"
    done = subprocess.run([PROGRAM, "models", "--config", folder / "config.yaml", "--json"], capture_output=True, text=True,
                          check=True, env={**os.environ, "HOME": str(tmp_path)})
    assert '"name":"gemini-*","kind":"upstream"' in done.stdout
    for name in ("entrypoint", "healthcheck"):
        subprocess.run(["bash", "-n", folder / name], check=True)
        assert name in (folder / "Dockerfile").read_text()


def test_the_readmes_recording_is_an_svg_without_scripts_or_addresses():
    text = (ROOT / "docs" / "images" / "recording.svg").read_text()
    xml.dom.minidom.parseString(text)
    assert "<script" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "") and len(text) < 200_000
