"""Answers of `tranche serve` for a list of requests, as one batch job: for engines that give a function a part of the rows at a
time and may give it the same part again (Spark, Ray).

Only Python's own library. A job is named by its content, so a part that is asked about again, because a worker died or its
answer was lost, finds the job of the first time and its answers: no line costs twice. Calls that fail for a while (a server
restarts, another process of a fleet takes over) are repeated, which the name makes harmless.
"""
import hashlib
import json
import time
import urllib.error
import urllib.request

INLINE_BYTES_MAX = 16 << 20  # of one job's requests; the API takes 20 MiB
PASSING = (429, 500, 502, 503, 504)
FINAL = {"BATCH_STATE_SUCCEEDED", "BATCH_STATE_FAILED", "BATCH_STATE_CANCELLED", "BATCH_STATE_EXPIRED"}


class Service:
    """url: of `tranche serve`, or of what stands before several; key: of a project, or None on this machine."""

    def __init__(self, url, key=None, patience_s=600):
        self.url, self.patience_s = url.rstrip("/"), patience_s
        self.headers = {"Content-Type": "application/json", **({"x-goog-api-key": key} if key else {})}

    def call(self, method, path, body=None):
        request = urllib.request.Request(f"{self.url}{path}", body, self.headers, method=method)
        give_up, pause = time.monotonic() + self.patience_s, 0.1
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as reply:
                    return json.load(reply)
            except urllib.error.HTTPError as error:
                if error.code not in PASSING or time.monotonic() > give_up:
                    raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None
            except (OSError, ValueError):  # no connection, or one that was cut
                if time.monotonic() > give_up:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 5)

    def answers(self, requests, model, run=""):
        """One dict a request, in order: {"text", "error"}. run: a new name asks the same questions anew."""
        found, part, size = [], [], 0
        for request in requests:
            text = json.dumps({"request": request}, ensure_ascii=False)
            if part and size + len(text) > INLINE_BYTES_MAX:
                found += self._job(part, model, run)
                part, size = [], 0
            part.append(text)
            size += len(text) + 2
        return found + (self._job(part, model, run) if part else [])

    def _job(self, lines, model, run):
        lines = ", ".join(lines)
        name = hashlib.sha256(f"{run}\0{model}\0{lines}".encode()).hexdigest()
        body = (f'{{"batch": {{"displayName": "{name[:16]}", "tranche": {{"requestId": "{name}"}}, '
                f'"inputConfig": {{"requests": {{"requests": [{lines}]}}}}}}}}')
        job = self.call("POST", f"/v1beta/models/{model}:batchGenerateContent", body.encode())["name"]
        pause = 0.1
        while (seen := self.call("GET", f"/v1beta/{job}"))["metadata"]["state"] not in FINAL:
            time.sleep(pause)
            pause = min(pause * 1.5, 5)
        if "response" not in seen:
            raise RuntimeError(f"{job} ended as {seen['metadata']['state']}: {seen.get('error', {}).get('message', '')}")
        return [answer_of(row) for row in seen["response"]["inlinedResponses"]["inlinedResponses"]]


def answer_of(row):
    if "error" in row:
        return {"text": None, "error": row["error"].get("message", "failed")}
    parts = row["response"]["candidates"][0].get("content", {}).get("parts", [])
    return {"text": "".join(part.get("text", "") for part in parts if not part.get("thought")), "error": None}
