"""Tables of a server by plain HTTP: made, filled and read without any client."""
import json
import urllib.parse

BATCH = 500


def split(name):
    """"p.d.t" or "bq://p.d.t"."""
    return name.removeprefix("bq://").split(".")


def path_of(project, dataset=None, table=None):
    path = f"/bigquery/v2/projects/{project}/datasets"
    if dataset:
        path += "/" + dataset
    if table:
        path += "/tables/" + urllib.parse.quote(table, safe="")
    return path


def ok(answer):
    status, body = answer
    assert status in (200, 204), body
    return body


def dataset(server, project, name, headers=None):
    """Makes it, unless it is there."""
    status, body = server.call("POST", path_of(project), {
        "datasetReference": {"projectId": project, "datasetId": name}}, headers)
    assert status in (200, 409), body


def table(server, name, fields, rows=(), headers=None):
    """A new table with its dataset. fields: {"column": "TYPE"}, or a list of BigQuery's."""
    project, set_name, table_name = split(name)
    if isinstance(fields, dict):
        fields = [{"name": key, "type": value} for key, value in fields.items()]
    dataset(server, project, set_name, headers)
    ok(server.call("POST", path_of(project, set_name) + "/tables", {
        "tableReference": {"projectId": project, "datasetId": set_name, "tableId": table_name},
        "schema": {"fields": fields}}, headers))
    insert(server, name, rows, headers)


def insert(server, name, rows, headers=None):
    """Rows as insertAll has them: a JSON column takes its text."""
    rows = list(rows)
    for at in range(0, len(rows), BATCH):
        answer = ok(server.call("POST", path_of(*split(name)) + "/insertAll", {
            "rows": [{"json": row} for row in rows[at:at + BATCH]]}, headers))
        assert not answer.get("insertErrors"), answer


def view(server, name, query, headers=None):
    project, set_name, table_name = split(name)
    dataset(server, project, set_name, headers)
    ok(server.call("POST", path_of(project, set_name) + "/tables", {
        "tableReference": {"projectId": project, "datasetId": set_name, "tableId": table_name},
        "view": {"query": query, "useLegacySql": False}}, headers))


def exists(server, name, headers=None):
    status, body = server.call("GET", path_of(*split(name)), headers=headers)
    assert status in (200, 404), body
    return status == 200


def fields(server, name, headers=None):
    """{"column": "TYPE"}."""
    answer = ok(server.call("GET", path_of(*split(name)), headers=headers))
    return {field["name"]: field["type"] for field in answer["schema"]["fields"]}


def drop(server, name, headers=None):
    ok(server.call("DELETE", path_of(*split(name)), headers=headers))


def rows(server, name, headers=None):
    """All rows as objects: JSON columns parsed, all else as the texts that the API has."""
    types, found, token = fields(server, name, headers), [], ""
    while True:
        page = ok(server.call("GET", path_of(*split(name)) + "/data?maxResults=5000&formatOptions."
                              f"useInt64Timestamp=true&pageToken={token}", headers=headers))
        for row in page.get("rows", []):
            cells = [cell["v"] for cell in row["f"]]
            found.append({key: json.loads(value) if kind == "JSON" and value is not None else value
                          for (key, kind), value in zip(types.items(), cells)})
        token = page.get("pageToken")
        if not token:
            assert len(found) == int(page["totalRows"]), (len(found), page["totalRows"])
            return found


def tables(server, project, set_name, headers=None):
    """Names of a dataset's tables; none when it is not there."""
    status, body = server.call("GET", path_of(project, set_name) + "/tables?maxResults=1000",
                               headers=headers)
    assert status in (200, 404), body
    return [item["tableReference"]["tableId"] for item in body.get("tables", [])] if status == 200 else []


JOBS = "/v1/projects/{}/locations/us-central1/batchPredictionJobs"


def job_body(source, destination, **more):
    """The body of a batch job; both are bq:// or gs://."""
    table_in, table_out = source.startswith("bq://"), destination.startswith("bq://")
    return {
        "displayName": "d", "model": "publishers/google/models/gemini-2.5-flash",
        "inputConfig": {"instancesFormat": "bigquery", "bigquerySource": {"inputUri": source}}
        if table_in else {"instancesFormat": "jsonl", "gcsSource": {"uris": [source]}},
        "outputConfig": {"predictionsFormat": "bigquery",
                         "bigqueryDestination": {"outputUri": destination}}
        if table_out else {"predictionsFormat": "jsonl",
                           "gcsDestination": {"outputUriPrefix": destination}}, **more}


def request(text, **more):
    """A request as the text of JSON."""
    return json.dumps({"contents": [{"role": "user", "parts": [{"text": text}]}], **more})


def answer(row):
    """The text of a row's answer."""
    return row["response"]["candidates"][0]["content"]["parts"][0]["text"]
