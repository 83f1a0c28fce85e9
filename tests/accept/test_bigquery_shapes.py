"""Exchanges that were recorded from BigQuery (bqemulator's source distribution, http_corpus): every one is sent to
the service, and the answer must have all that BigQuery's has. Recorded "<*>" stands for any value."""
import json
import pathlib
import re
import sys
import urllib.error
import urllib.request

import pytest

ORACLE = pathlib.Path(sys.prefix) / "oracle" / "http_corpus" / "jobs"
if not ORACLE.is_dir():
    pytest.skip("no oracle: scripts/setup --test fetches it", allow_module_level=True)

# Formats of files that we refuse in words.
REFUSED = {name: "400 in words" for name in (
    "extract_avro_basic", "extract_avro_round_trip", "load_avro_basic", "load_avro_invalid_file",
    "load_avro_logical_decimal", "load_avro_nested_record", "load_orc_basic", "load_orc_nested", "export_csv_query_job")}
CASES = sorted(p.name for p in ORACLE.iterdir() if (p / "expected_response.json").is_file())


def filled(value, names):
    """Placeholders ${X} replaced, in all texts of a JSON value or in a text."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda m: names.get(m.group(1), m.group(0)), value)
    if isinstance(value, list):
        return [filled(v, names) for v in value]
    if isinstance(value, dict):
        return {k: filled(v, names) for k, v in value.items()}
    return value


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """308 is an answer here."""

    def redirect_request(self, *_):
        return None


def exchange(server, case, request, names):
    """(status, headers in lower case, body)"""
    body = None
    if request.get("body_bin"):
        body = (ORACLE / case / request["body_bin"]).read_bytes()
        for key, value in names.items():
            body = body.replace(("${%s}" % key).encode(), value.encode())
    elif "body" in request:
        body = json.dumps(filled(request["body"], names)).encode()
    headers = {"Content-Type": "application/json", **request.get("headers", {})}
    call = urllib.request.Request(server.url + filled(request["path"], names), data=body, method=request["method"],
                                  headers=headers)
    try:
        with urllib.request.build_opener(NoRedirect).open(call, timeout=60) as answer:
            status, top, text = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        status, top, text = error.code, error.headers, error.read()
    top = {k.lower(): v for k, v in top.items()}
    try:
        return status, top, json.loads(text) if text else ""
    except ValueError:
        return status, top, text.decode()


def found(value, path):
    for step in path.split("."):
        value = value[int(step)] if step.isdigit() else value[step]
    return value


def differences(expected, actual, path="body"):
    if expected == "<*>":
        return
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            yield f"{path}: an object was expected, not {actual!r}"
            return
        for key, value in expected.items():
            if value == "<*>":
                continue
            if key not in actual:
                yield f"{path}.{key} is absent, {value!r} was expected"
            else:
                yield from differences(value, actual[key], f"{path}.{key}")
    elif isinstance(expected, list):
        if not isinstance(actual, list) or len(expected) != len(actual):
            yield f"{path}: {expected!r} was expected, not {actual!r}"
            return
        if path.endswith(".fields"):  # BigQuery has no order for the columns that it finds out
            expected, actual = (sorted(fields, key=lambda f: f["name"]) for fields in (expected, actual))
        for i, (a, b) in enumerate(zip(expected, actual)):
            yield from differences(a, b, f"{path}[{i}]")
    elif expected != actual:
        yield f"{path}: {expected!r} was expected, not {actual!r}"


def when_done(server, case, job, names):
    """A job that had not ended when its insert was answered."""
    while job["status"]["state"] != "DONE" and "jobId" in job["jobReference"]:
        path = "/bigquery/v2/projects/${PROJECT}/jobs/" + job["jobReference"]["jobId"]
        _, _, job = exchange(server, case, {"method": "GET", "path": path}, names)
    return job


def set_up(server, case, names):
    folder = ORACLE / case
    base = "/bigquery/v2/projects/" + names["PROJECT"]
    status, _, body = exchange(server, case, {"method": "POST", "path": base + "/datasets", "body": {
        "datasetReference": {"datasetId": names["DATASET_ID"]}}}, names)
    assert status == 200, body
    if (folder / "setup.sql").is_file():
        status, _, body = exchange(server, case, {"method": "POST", "path": base + "/queries", "body": {
            "query": (folder / "setup.sql").read_text(), "useLegacySql": False}}, names)
        assert status == 200, body
    if (folder / "setup_requests.json").is_file():
        for request in json.loads((folder / "setup_requests.json").read_text()):
            status, top, body = exchange(server, case, request, names)
            if case in REFUSED and status == 400:
                return
            assert status < 300 or status == 308, body
            for key, path in request.get("capture", {}).items():
                header = re.match(r"headers?[.:](.*)", path)
                names[key] = top[header.group(1).lower()] if header else found(body, path)


@pytest.mark.parametrize("case", CASES)
def test_an_answer_has_what_bigquerys_has(server, case):
    project = "list-alone" if case == "datasets_list_basic" else "your-bigquery-project"
    dataset = "s_" + case
    names = {"PROJECT": project, "DATASET_ID": dataset, "DATASET": f"{project}.{dataset}", "GCS_BUCKET": "none"}
    expected = json.loads((ORACLE / case / "expected_response.json").read_text())
    set_up(server, case, names)
    status, top, body = exchange(server, case, json.loads((ORACLE / case / "request.json").read_text()), names)
    if case in REFUSED:
        text = json.dumps(body)
        assert status in (200, 400, 404) and ("not supported" in text or "Not found: URI" in text or
                                         "Not found: Job" in text), body
        return
    assert status == expected["http_status"], body
    if expected["body"] and expected["body"].get("status") == {"state": "DONE"}:
        body = when_done(server, case, body, names)
    faults = list(differences(filled(expected["body"], names), body))
    for key, value in expected.get("headers", {}).items():
        if key.lower() not in top or (value != "<*>" and value not in top[key.lower()]):
            faults.append(f"header {key}: {top.get(key.lower())!r}, {value!r} was expected")
    assert not faults, "\n".join(faults)
