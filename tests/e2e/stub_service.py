"""A service for testing its clients: jobs and objects in memory, and any answer on demand.

`stub.answer_next(method, part_of_path, status, body, headers)` replaces the next answer to such a
request; `stub.seen` lists what came. What the real service says is tested elsewhere."""
import base64
import fnmatch
import http.server
import json
import re
import threading
import urllib.parse

JOBS = re.compile(r"/v1/projects/([^/]+)/locations/([^/]+)/batchPredictionJobs(?:/(\d+))?(?::(\w+))?$")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return base64.b64encode((crc ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()


class Seen:
    def __init__(self, handler, body):
        url = urllib.parse.urlsplit(handler.path)
        self.method, self.path = handler.command, url.path
        self.query = {k: v[-1] for k, v in urllib.parse.parse_qs(url.query).items()}
        self.headers, self.body = handler.headers, body

    def __repr__(self):
        return f"{self.method} {self.path} {self.query}"


class Stub(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.seen, self.scripted = [], []
        self.buckets, self.objects, self.uploads = {}, {}, {}
        self.jobs, self.next_states, self.results = {}, {}, {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that went away is part of some tests."""

    def answer_next(self, method, part, status, body="", headers=None, cut=False):
        body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        self.scripted.append((method, part, status, body, headers or {}, cut))

    def put(self, bucket, name, data):
        self.buckets.setdefault(bucket, {})
        self.objects[bucket, name] = data

    def add_job(self, number, *states, **members):
        """A job that shows the next of its states each time it is asked for."""
        name = f"projects/default/locations/us-central1/batchPredictionJobs/{number}"
        self.jobs[str(number)] = {
            "name": name, "displayName": f"job {number}", "state": f"JOB_STATE_{states[0]}",
            "model": "publishers/google/models/m", "createTime": "2026-11-22T10:00:00.000000Z",
            **members}
        self.next_states[str(number)] = [f"JOB_STATE_{s}" for s in states]
        return name

    def requests(self, method, part):
        return [s for s in self.seen if s.method == method and part in s.path]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", headers=None, cut=False):
        if not isinstance(body, bytes):
            body = json.dumps(body, indent=2).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + (100 if cut else 0)))
        self.end_headers()
        self.wfile.write(body)
        if cut:
            self.close_connection = True

    def fail(self, status, name, message):
        self.reply(status, {"error": {"code": status, "message": message, "status": name}})

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = Seen(self, body)
        self.server.seen.append(call)
        for entry in self.server.scripted:
            method, part, status, answer, headers, cut = entry
            if method == call.method and part in self.path:
                self.server.scripted.remove(entry)
                if status is None:
                    self.close_connection = True
                    return
                self.reply(status, answer, headers, cut)
                return
        found = JOBS.match(call.path)
        if found:
            self.handle_job(call, found.group(3), found.group(4))
        elif call.path.startswith(("/storage/", "/upload/", "/download/")):
            self.handle_storage(call)
        else:
            self.fail(404, "NOT_FOUND", "no such path")

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    # ---- Jobs ----

    def handle_job(self, call, number, verb):
        stub = self.server
        if number is None and call.method == "POST":
            number = str(9000000000000000000 + len(stub.jobs))
            stub.add_job(number, "PENDING", "RUNNING", "SUCCEEDED", **json.loads(call.body))
            self.reply(200, stub.jobs[number])
        elif number is None:
            self.list_jobs(call)
        elif number not in stub.jobs:
            self.fail(404, "NOT_FOUND", f"The BatchPredictionJob {number} does not exist.")
        elif verb == "results" or verb == "faults":
            data = stub.results.get(number, b"")[int(call.query.get("offset", 0)):]
            self.reply(200, data, {"Content-Type": "application/jsonl"})
        elif verb == "retryFailed":
            stub.add_job(int(number) + 1, "PENDING", "SUCCEEDED", tranche={"retryOf": number})
            self.reply(200, stub.jobs[str(int(number) + 1)])
        elif verb:
            self.reply(200, {})
        elif call.method == "DELETE":
            del stub.jobs[number]
            self.reply(200, {"name": "operations/1", "done": True})
        else:
            states = stub.next_states[number]
            stub.jobs[number]["state"] = states.pop(0) if len(states) > 1 else states[0]
            self.reply(200, stub.jobs[number])

    def list_jobs(self, call):
        every = list(self.server.jobs.values())[::-1]
        start, size = int(call.query.get("pageToken") or 0), int(call.query["pageSize"])
        page = {"batchPredictionJobs": every[start:start + size]}
        if start + size < len(every):
            page["nextPageToken"] = str(start + size)
        self.reply(200, page if page["batchPredictionJobs"] else {})

    # ---- Objects ----

    def object_json(self, bucket, name):
        data = self.server.objects[bucket, name]
        return {"kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(data)),
                "generation": "7", "crc32c": crc32c(data), "updated": "2026-11-22T10:00:00.000Z"}

    def handle_storage(self, call):
        stub = self.server
        parts = [urllib.parse.unquote(p) for p in call.path.split("/b/", 1)[-1].split("/")]
        if call.path.startswith("/upload/"):
            self.upload(call, parts[0])
        elif "/b/" not in call.path:
            self.list_or_make_buckets(call)
        elif parts[0] not in stub.buckets:
            self.fail(404, "NOT_FOUND", "The specified bucket does not exist.")
        elif len(parts) == 1:
            self.reply(200, {"name": parts[0]})
        elif len(parts) == 2:
            self.list_objects(call, parts[0])
        elif (parts[0], parts[2]) not in stub.objects:
            self.fail(404, "NOT_FOUND", f"No such object: {parts[0]}/{parts[2]}")
        elif "rewriteTo" in parts:
            stub.objects[parts[5], parts[7]] = stub.objects[parts[0], parts[2]]
            self.reply(200, {"done": True, "resource": self.object_json(parts[5], parts[7])})
        elif call.method == "DELETE":
            del stub.objects[parts[0], parts[2]]
            self.reply(204)
        elif call.query.get("alt") == "media":
            self.media(stub.objects[parts[0], parts[2]])
        else:
            self.reply(200, self.object_json(parts[0], parts[2]))

    def list_or_make_buckets(self, call):
        stub = self.server
        if call.method == "POST":
            name = json.loads(call.body)["name"]
            if name in stub.buckets:
                self.fail(409, "ALREADY_EXISTS", "Your previous request to create the named bucket "
                          "succeeded and you already own it.")
                return
            stub.buckets[name] = {}
            self.reply(200, {"name": name})
        else:
            self.reply(200, {"items": [{"name": b, "timeCreated": "2026-11-22T10:00:00.000Z"}
                                       for b in sorted(stub.buckets)]})

    def list_objects(self, call, bucket):
        prefix, glob = call.query.get("prefix", ""), call.query.get("matchGlob")
        items, prefixes = [], set()
        for b, name in sorted(self.server.objects):
            if b != bucket or not name.startswith(prefix):
                continue
            if glob and not fnmatch.fnmatch(name, glob):
                continue
            rest = name[len(prefix):]
            if call.query.get("delimiter") and "/" in rest:
                prefixes.add(prefix + rest.split("/")[0] + "/")
            else:
                items.append(self.object_json(b, name))
        start, size = int(call.query.get("pageToken") or 0), min(int(call.query["maxResults"]), 3)
        page = {"items": items[start:start + size]}
        if start + size < len(items):
            page["nextPageToken"] = str(start + size)
        elif prefixes:
            page["prefixes"] = sorted(prefixes)
        self.reply(200, page)

    def media(self, data):
        asked = re.match(r"bytes=(\d+)-$", self.headers.get("Range") or "")
        if not asked:
            self.reply(200, data)
        elif int(asked.group(1)) >= len(data):
            self.fail(416, "OUT_OF_RANGE", "The requested range cannot be satisfied.")
        else:
            self.reply(206, data[int(asked.group(1)):])

    def upload(self, call, bucket):
        stub = self.server
        if call.method == "POST":
            session = str(len(stub.uploads))
            stub.uploads[session] = [bucket, call.query["name"], b""]
            self.reply(200, b"", {"Location": f"{stub.url}/upload/storage/v1/b/{bucket}/o?upload_id="
                                              + session})
            return
        upload = stub.uploads[call.query["upload_id"]]
        asked = re.match(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)$", self.headers["Content-Range"])
        if asked.group(1) is not None:
            assert int(asked.group(1)) == len(upload[2]), "bytes were left out or sent twice"
            assert int(asked.group(2)) - int(asked.group(1)) + 1 == len(call.body)
            upload[2] += call.body
        if asked.group(3) != "*" and int(asked.group(3)) == len(upload[2]):
            stub.objects[upload[0], upload[1]] = upload[2]
            self.reply(200, self.object_json(upload[0], upload[1]))
        else:
            have = {"Range": f"bytes=0-{len(upload[2]) - 1}"} if upload[2] else {}
            self.reply(308, b"", have)
