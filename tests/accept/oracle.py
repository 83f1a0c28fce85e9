"""The oracle: SQL cases with the answers of the real BigQuery, as the source distribution of PyPI's bqemulator has
them. Each is run by plain HTTP and its rows, schema, job or error are compared with Google's.

A case is `passed`, `refused` (an error in words where BigQuery has rows, or another error), or `wrong`: other rows,
rows where BigQuery has an error, or an error that names no cause (HTTP 500)."""
import base64
import datetime
import decimal
import json
import math
import os
import pathlib
import re
import sys
import time
import urllib.parse

FOLDER = pathlib.Path(os.environ.get("BIGQUERY_ORACLE") or pathlib.Path(sys.prefix) / "oracle" / "sql_corpus")
PROJECT = "oracle"
POLL_S = 60
NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
WORDS = {
    "PRINCIPAL": "user:alice@example.com", "GROUP": "group:engineering@example.com",
    "OTHER_PRINCIPAL": "serviceAccount:other@example.com", "GCS_BUCKET": "oracle-exports",
}


class Refused(Exception):
    """An error of the service: its HTTP status, reason, location and message."""

    def __init__(self, status, body):
        body = body.get("error", body) if isinstance(body, dict) else {"message": str(body)}
        first = (body.get("errors") or [body])[0]
        self.status = status
        self.reason = first.get("reason")
        self.location = first.get("location")
        self.message = first.get("message") or body.get("message") or ""
        super().__init__(f"{status} {self.reason}: {self.message}")


class Case:
    def __init__(self, folder):
        self.group, self.name, self.folder = folder.parent.name, folder.name, folder
        self.expected = json.loads(self.text("expected.json"))

    def text(self, name):
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else None

    def json(self, name):
        text = self.text(name)
        return json.loads(text) if text else None


def cases(groups=None):
    for folder in sorted(FOLDER.glob("*/*/")):
        if (folder / "expected.json").exists() and (not groups or folder.parent.name in groups):
            yield Case(folder)


def statements(text):
    """A setup file in statements: those with BEGIN stay whole, as one script."""
    if re.search(r"\bBEGIN\b|\bLANGUAGE\b|\"\"\"", text, re.I):
        return [text]
    found, quote, begin = [], None, 0
    for i, c in enumerate(text):
        if quote:
            quote = None if c == quote and text[i - 1] != "\\" else quote
        elif c in "'\"`":
            quote = c
        elif text.startswith("--", i):
            quote = "\n"
        elif c == ";":
            found.append(text[begin:i])
            begin = i + 1
    return [s for s in [*found, text[begin:]] if re.sub(r"--.*", "", s).strip()]


# ---- Parameters and settings as REST has them ----

def type_of(kind):
    if isinstance(kind, str):
        return {"type": kind}
    if kind["type"] == "ARRAY":
        return {"type": "ARRAY", "arrayType": type_of(kind["arrayType"])}
    if kind["type"] == "STRUCT":
        return {"type": "STRUCT", "structTypes": [
            {"name": f.get("name", ""), "type": type_of(f["type"])} for f in kind["structTypes"]]}
    return {"type": kind["type"]}


def value_of(kind, value):
    if value is None:
        return {"value": None} if kind["type"] != "ARRAY" else {"arrayValues": []}
    if kind["type"] == "ARRAY":
        return {"arrayValues": [value_of(kind["arrayType"], v) for v in value]}
    if kind["type"] == "STRUCT":
        return {"structValues": {f["name"]: value_of(f["type"], value[f["name"]])
                                 for f in kind["structTypes"]}}
    if isinstance(value, bool):
        return {"value": "true" if value else "false"}
    return {"value": str(value)}


def parameters_of(given):
    found = []
    for p in given["parameters"]:
        kind = type_of(p["type"])
        one = {"parameterType": kind, "parameterValue": value_of(kind, p["value"])}
        found.append({"name": p["name"], **one} if given["mode"] == "named" else one)
    return {"parameterMode": given["mode"].upper(), "queryParameters": found}


def reference(name):
    parts = name.split(".")
    keys = ["projectId", "datasetId", "tableId"][:len(parts)]
    return dict(zip(keys, parts))


def configuration_of(given):
    """job_config.json: (of the query, of the job)."""
    query, job = {}, {}
    for key, value in given.items():
        if key in ("use_legacy_sql", "use_query_cache", "priority", "write_disposition", "create_disposition",
                   "create_session", "schema_update_options", "connection_properties", "allow_large_results",
                   "flatten_results"):
            words = key.split("_")
            query[words[0] + "".join(w.title() for w in words[1:])] = value
        elif key == "maximum_bytes_billed":
            query["maximumBytesBilled"] = str(value)
        elif key == "destination":
            query["destinationTable"] = reference(value)
        elif key == "default_dataset":
            query["defaultDataset"] = reference(value)
        elif key == "clustering_fields":
            query["clustering"] = {"fields": value}
        elif key == "time_partitioning":
            query["timePartitioning"] = {"expirationMs" if k == "expiration_ms" else k: v
                                         for k, v in value.items()}
        elif key == "dry_run":
            job["dryRun"] = value
        elif key == "labels":
            job["labels"] = value
        elif key == "job_timeout_ms":
            job["jobTimeoutMs"] = str(value)
        else:
            raise AssertionError(f"unknown setting {key}")
    query.setdefault("useLegacySql", False)
    return query, job


# ---- Running ----

class Run:
    def __init__(self, server):
        self.server = server
        self.base = f"/bigquery/v2/projects/{PROJECT}"

    def call(self, method, path, body=None, headers=None):
        status, answer = self.server.call(method, path, body, headers)
        if status >= 300:
            raise Refused(status, answer)
        return answer

    def query(self, sql, headers=None, parameters=None, settings=None):
        """(schema, rows, job) of one text."""
        query, job = configuration_of(settings or {})
        query["query"] = sql
        query.update(parameters_of(parameters) if parameters else {})
        made = self.call("POST", self.base + "/jobs",
                         {"configuration": {"query": query, **job}}, headers)
        if job.get("dryRun"):
            return made["statistics"]["query"].get("schema", {}).get("fields", []), [], made
        return self.result(self.done(made, headers), headers)

    def done(self, made, headers):
        name = urllib.parse.quote(made["jobReference"]["jobId"], safe="")
        deadline = time.monotonic() + POLL_S
        while made["status"]["state"] != "DONE":
            if time.monotonic() > deadline:
                raise AssertionError("the job does not end")
            self.server.call("GET", f"{self.base}/queries/{name}?maxResults=0&timeoutMs=10000", None, headers)
            made = self.call("GET", f"{self.base}/jobs/{name}", None, headers)
        error = made["status"].get("errorResult")
        if error:
            status = {"notFound": 404, "duplicate": 409, "accessDenied": 403, "invalid": 400, "invalidQuery": 400,
                      "notImplemented": 501, "internalError": 500, "backendError": 503}.get(error.get("reason"), 400)
            raise Refused(status, error)
        return made

    def result(self, made, headers):
        name = urllib.parse.quote(made["jobReference"]["jobId"], safe="")
        rows, page, schema = [], None, []
        while True:
            path = f"{self.base}/queries/{name}?formatOptions.useInt64Timestamp=true&timeoutMs=10000"
            answer = self.call("GET", path + (f"&pageToken={page}" if page else ""), None, headers)
            schema = answer.get("schema", {}).get("fields", schema)
            rows += answer.get("rows", [])
            page = answer.get("pageToken")
            if not page:
                return schema, rows, made

    def case(self, case, number):
        """Runs a case in a dataset of its own: (schema, rows, job)."""
        words = {**WORDS, "PROJECT": PROJECT, "DATASET_ID": f"case_{number}",
                 "DATASET": f"{PROJECT}.case_{number}"}
        def fill(text):
            return re.sub(r"\$\{([A-Z_]+)\}", lambda m: words[m.group(1)], text)
        setup, rest = case.text("setup.sql"), case.text("setup_rest.json")
        headers = json.loads(fill(case.text("headers.json") or "null"))
        settings = json.loads(fill(case.text("job_config.json") or "null"))
        if setup is not None or rest:
            self.call("POST", self.base + "/datasets", {"datasetReference": {"datasetId": words["DATASET_ID"]}})
        try:
            for statement in statements(fill(setup or "")):
                self.query(statement)
            for call in json.loads(fill(rest or "[]")):
                self.call(call["method"], call["path"], call.get("body"))
        except Refused as e:
            e.setup = True
            raise
        return self.query(fill(case.text("query.sql")), headers, case.json("parameters.json"), settings)


# ---- Comparing ----

def same_schema(expected, actual, path=""):
    if len(expected) != len(actual):
        return f"{path}: {len(actual)} columns, expected {len(expected)}"
    for e, a in zip(expected, actual):
        name = f"{path}.{e['name']}"
        if e["name"] != a.get("name"):
            return f"{name}: the name is {a.get('name')}"
        if NAMES.get(e["type"], e["type"]) != NAMES.get(a["type"], a["type"]):
            return f"{name}: the type is {a['type']}, expected {e['type']}"
        if (e.get("mode") or "NULLABLE") != (a.get("mode") or "NULLABLE"):
            return f"{name}: the mode is {a.get('mode')}, expected {e.get('mode')}"
        wrong = same_schema(e.get("fields") or [], a.get("fields") or [], name)
        if wrong:
            return wrong
    return None


def close(a, b):
    a, b = float(a), float(b)
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-15)


def moment(text):
    """An ISO time as microseconds."""
    t = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    t = t if t.tzinfo else t.replace(tzinfo=datetime.timezone.utc)
    return (t - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def as_json(value):
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def same_numbers(a, b):
    """JSON values, where numbers are equal when they are near."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_numbers(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_numbers, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)) and not isinstance(a, bool):
        return not isinstance(b, bool) and close(a, b)
    return a == b and type(a) is type(b)


def same_text(kind, e, a):
    """Whether the cell's text is the recorded value."""
    if kind == "FLOAT64":
        return close(e, a)
    if kind in ("NUMERIC", "BIGNUMERIC"):
        return decimal.Decimal(str(e)) == decimal.Decimal(a)
    if kind == "BYTES":
        return base64.b64decode(e) == base64.b64decode(a)
    if kind == "TIMESTAMP":
        return moment(e) == int(a)
    if kind == "DATETIME":
        return moment(e) == moment(a)
    if kind == "TIME":
        return datetime.time.fromisoformat(e) == datetime.time.fromisoformat(a)
    if kind == "JSON":
        return same_numbers(as_json(e), as_json(a))
    if kind == "BOOL":
        return a == ("true" if e else "false")
    if kind == "INTERVAL":
        return all(map(close, interval(e), interval(a)))
    if kind == "GEOGRAPHY":
        return re.sub(r"\s*([(),])\s*", r"\1", e).upper() == re.sub(r"\s*([(),])\s*", r"\1", a).upper()
    if kind == "STRING" and str(e).lstrip()[:1] in ("{", "[") and as_json(e) != e:
        return same_numbers(as_json(e), as_json(a))
    return str(e) == a


def interval(text):
    """The parts of "1-2 3 4:5:6.7", or of how Python wrote it down: relativedelta(months=+1, ...)."""
    if text.startswith("relativedelta("):
        part = {name: float(n) for name, n in re.findall(r"(\w+)=([+-][\d.]+)", text)}
        seconds = sum(part.get(name, 0) * n for name, n in
                      (("hours", 3600), ("minutes", 60), ("seconds", 1), ("microseconds", 1e-6)))
        return part.get("years", 0) * 12 + part.get("months", 0), part.get("days", 0), seconds
    months, days, clock = text.split(" ")
    sign = -1 if months.startswith("-") else 1
    years, months = months.lstrip("-").split("-")
    sign_clock = -1 if clock.startswith("-") else 1
    hours, minutes, seconds = clock.lstrip("-").split(":")
    return (sign * (int(years) * 12 + int(months)), int(days),
            sign_clock * (int(hours) * 3600 + int(minutes) * 60 + float(seconds)))


def same_range(field, e, a):
    found = re.fullmatch(r"\[(.*), (.*)\)", a)
    kind = field.get("rangeElementType", {}).get("type", "DATE")
    return bool(found) and all(
        (x is None and y in ("UNBOUNDED", "NULL")) or (x is not None and same_text(kind, x, y))
        for x, y in ((e["start"], found[1]), (e["end"], found[2])))


def same_cell(field, e, a):
    kind = NAMES.get(field["type"], field["type"])
    if field.get("mode") == "REPEATED":
        element = {**field, "mode": "NULLABLE"}
        e, a = e or [], a or []
        return len(e) == len(a) and all(same_cell(element, x, y["v"]) for x, y in zip(e, a))
    if e is None or a is None:
        return e is None and a is None
    if kind == "STRUCT":
        return all(same_cell(f, e.get(f["name"]), y["v"]) for f, y in zip(field["fields"], a["f"]))
    if kind == "RANGE":
        return same_range(field, e, a)
    return same_text(kind, e, a)


def same_rows(schema, expected, actual):
    if len(expected) != len(actual):
        return f"{len(actual)} rows, expected {len(expected)}"
    for i, (e, a) in enumerate(zip(expected, actual)):
        for field, cell in zip(schema, a["f"]):
            try:
                same = same_cell(field, e.get(field["name"]), cell["v"])
            except (ValueError, TypeError, ArithmeticError) as error:
                return f"row {i} {field['name']}: {cell['v']!r}: {error}"
            if not same:
                return f"row {i} {field['name']}: {cell['v']!r}, expected {e.get(field['name'])!r}"
    return None


def same_job(expected, job):
    query = job.get("statistics", {}).get("query", {})
    actual = {
        "cache_hit": bool(query.get("cacheHit", False)), "statement_type": query.get("statementType"),
        "num_dml_affected_rows": int(query["numDmlAffectedRows"]) if "numDmlAffectedRows" in query else None,
        "ddl_operation_performed": query.get("ddlOperationPerformed"),
    }
    for key, value in (expected or {}).items():
        if actual[key] != value:
            return f"{key} is {actual[key]!r}, expected {value!r}"
    return None


def judge(case, run, number):
    """("passed" | "refused" | "wrong", why)"""
    expected = case.expected
    error = expected.get("error")
    try:
        schema, rows, job = run.case(case, number)
    except (OSError, AssertionError) as e:
        return "wrong", f"no answer: {e}"
    except Refused as e:
        if e.status >= 500 and e.status != 501:
            return "wrong", str(e)
        if not error or getattr(e, "setup", False):
            return "refused", str(e)
        same = e.status == error["http_status"] and e.reason == error["reason"]
        same = same and re.search(error["message_pattern"], e.message)
        return ("passed" if same else "refused"), f"{e}; expected {error['http_status']} {error['reason']}: " \
            f"{error.get('message_sample')}"
    if error:
        return "wrong", f"{len(rows)} rows, expected the error {error.get('message_sample')}"
    why = same_schema(expected["schema"], schema)
    why = why or same_rows(schema, expected["rows"], rows)
    why = why or same_job(expected.get("job_metadata"), job)
    return ("wrong", why) if why else ("passed", "")
