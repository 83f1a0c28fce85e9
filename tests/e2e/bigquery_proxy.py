"""A proxy in front of a service that plays BigQuery: it counts calls, and lets some of them fail as BigQuery's do."""
import http.client
import http.server
import json
import re
import socket
import struct
import threading
import urllib.parse


def failure(status, reason, message="planted"):
    """An answer as BigQuery words its errors."""
    return status, json.dumps({"error": {"code": status, "message": message, "errors": [
        {"reason": reason, "message": message, "domain": "global"}]}}).encode()


class Proxy:
    """`rule(method, path, count)` is asked before each call, count being how often this kind of call came before:
    None passes it on; (status, body) answers it; "reset" cuts the connection; "lost" passes it on and cuts the
    connection before the answer; an Event is waited for before the call is passed on."""

    def __init__(self, target):
        self.target = urllib.parse.urlsplit(target).netloc
        self.rule = lambda method, path, count: None
        self.tokens = None  # the tokens that are taken; None: no call needs one
        self.calls = []     # "METHOD kind" in their order
        self.lock = threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def count(self, kind):
        with self.lock:
            return self.calls.count(kind)

    @staticmethod
    def kind(method, path):
        """"GET data", "POST jobs", "POST upload", "PUT upload", "GET job", "GET table" and so on."""
        place = urllib.parse.urlsplit(path).path
        for name, pattern in (("upload", r"^/upload/"), ("data", r"/data$"), ("job", r"/jobs/[^/]+$"),
                              ("jobs", r"/jobs$"), ("cancel", r"/cancel$"), ("rows", r"/queries/"),
                              ("table", r"/tables/[^/]+$"), ("dataset", r"/datasets/[^/]+$")):
            if re.search(pattern, place):
                return f"{method} {name}"
        return f"{method} {place}"

    def handler(proxy):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reset(self):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()

            def give(self, status, body, headers=()):
                self.send_response(status)
                for key, value in headers:
                    if key.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def pass_on(self, body):
                there = http.client.HTTPConnection(proxy.target, timeout=60)
                headers = {key: value for key, value in self.headers.items() if key.lower() != "authorization"}
                there.request(self.command, self.path, body=body, headers=headers)
                answer = there.getresponse()
                given = answer.status, answer.read(), answer.getheaders()
                there.close()
                return given

            def handle_call(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                kind = proxy.kind(self.command, self.path)
                with proxy.lock:
                    before = proxy.calls.count(kind)
                    proxy.calls.append(kind)
                bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
                if proxy.tokens is not None and bearer not in proxy.tokens:
                    self.give(*failure(401, "authError", "Invalid Credentials"))
                    return
                action = proxy.rule(self.command, self.path, before)
                if action == "reset":
                    self.reset()
                elif isinstance(action, tuple):
                    self.give(*action)
                else:
                    if isinstance(action, threading.Event):
                        action.wait(60)
                    given = self.pass_on(body)
                    if action == "lost":
                        self.reset()
                    else:
                        self.give(*given)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_call

        return Handler
