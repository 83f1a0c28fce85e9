"""Objects of a shared store over HTTP: what one process takes, every other gives; a part of a big one is all that is fetched for
a range; slow clients hold nobody up; an upload goes on at any process, whichever dies."""
import hashlib
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import urllib.parse

import pytest

from test_fleet import Fleet, database, fleet, pytestmark  # noqa: F401  fixtures

MIB = 1024 * 1024
BIG = 200 * MIB
PIECE = 256 * 1024


def block(number):
    """A MiB that differs from every other one."""
    return random.Random(number).randbytes(MIB)


def connect(server, timeout=60):
    return http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=timeout)


def call(server, method, path, body=None, **headers):
    """Status, headers and bytes of an answer."""
    connection = connect(server)
    connection.request(method, path, body=body, headers={n.replace("_", "-"): v for n, v in headers.items()})
    reply = connection.getresponse()
    answer = reply.status, reply.headers, reply.read()
    connection.close()
    return answer


def bucket_of(server):
    assert call(server, "POST", "/storage/v1/b", json.dumps({"name": "data"}), Content_Type="application/json")[0] == 200


def put_big(server):
    """Its SHA-256."""
    digest = hashlib.sha256()

    def body():
        for number in range(BIG // MIB):
            piece = block(number)
            digest.update(piece)
            yield piece

    status, _, text = call(server, "POST", "/upload/storage/v1/b/data/o?uploadType=media&name=big", body(),
                           Content_Length=str(BIG), Content_Type="application/octet-stream")
    assert status == 200 and int(json.loads(text)["size"]) == BIG
    return digest.hexdigest()


def proc(server, file, field):
    for line in pathlib.Path(f"/proc/{server.process.pid}/{file}").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise AssertionError(field)


def copies(fleet, number):  # noqa: F811
    """Bytes of the copies of blobs that a process keeps."""
    folder = fleet.tranche.folder / f"s{number}" / "cache"
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.timeout(300)
def test_a_part_of_a_big_object_is_all_that_is_fetched_for_a_range(fleet):  # noqa: F811
    first, second = fleet.start(), fleet.start()
    bucket_of(first)
    digest = put_big(first)
    read, memory = proc(second, "io", "rchar"), proc(second, "status", "VmHWM")
    path = "/storage/v1/b/data/o/big?alt=media"
    status, headers, text = call(second, "GET", path, Range=f"bytes={150 * MIB + 5}-{150 * MIB + 1004}")
    assert status == 206 and text == block(150)[5:1005]
    assert headers["Content-Range"] == f"bytes {150 * MIB + 5}-{150 * MIB + 1004}/{BIG}"
    status, _, text = call(second, "GET", path, Range="bytes=-7")
    assert status == 206 and text == block(BIG // MIB - 1)[-7:]
    assert call(second, "GET", path, Range=f"bytes={BIG}-")[0] == 416
    assert proc(second, "io", "rchar") - read < 16 * MIB

    connection = connect(second)
    connection.request("GET", path)
    reply = connection.getresponse()
    assert reply.status == 200 and int(reply.headers["Content-Length"]) == BIG
    got = hashlib.sha256()
    for piece in iter(lambda: reply.read(MIB), b""):
        got.update(piece)
    connection.close()
    assert got.hexdigest() == digest
    assert proc(second, "status", "VmHWM") - memory < 64 * 1024  # KiB
    assert copies(fleet, 1) < 8 * MIB


def reader(server):
    """A client that asks for the big object and reads only the head of the answer."""
    url = urllib.parse.urlsplit(server.url)
    client = socket.create_connection((url.hostname, url.port), timeout=60)
    client.sendall(b"GET /storage/v1/b/data/o/big?alt=media HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert client.recv(12) == b"HTTP/1.1 200"
    return client


@pytest.mark.timeout(300)
def test_clients_that_read_slowly_hold_nobody_up(fleet):  # noqa: F811
    first, second = fleet.start(), fleet.start()
    bucket_of(first)
    digest = put_big(first)
    slow = [reader(second) for _ in range(60)]  # more than there are threads that may wait
    assert call(second, "GET", "/healthz")[0] == 200
    assert json.loads(call(second, "GET", "/storage/v1/b/data/o")[2])["items"][0]["name"] == "big"
    got = hashlib.sha256()
    rest, left = slow[0], BIG
    head = rest.recv(65536)
    body = head.split(b"\r\n\r\n", 1)[1]
    while body:
        got.update(body)
        left -= len(body)
        body = rest.recv(MIB) if left else b""
    assert left == 0 and got.hexdigest() == digest
    for client in slow:
        client.close()
    assert call(second, "GET", "/healthz")[0] == 200


def start_upload(server, name):
    status, headers, _ = call(server, "POST", f"/upload/storage/v1/b/data/o?uploadType=resumable&name={name}", "{}",
                              Content_Type="application/json")
    assert status == 200
    return urllib.parse.urlsplit(headers["Location"])._replace(scheme="", netloc="").geturl()


def sent(server, path):
    """How much of an upload the service has."""
    status, headers, _ = call(server, "PUT", path, b"", Content_Range="bytes */*")
    assert status == 308
    return int(headers["Range"].split("-")[1]) + 1 if headers["Range"] else 0


def send(server, path, content, first, end):
    """The status of a piece: 308 while more is expected."""
    return call(server, "PUT", path, content[first:end], Content_Range=f"bytes {first}-{end - 1}/{len(content)}")[0]


@pytest.mark.timeout(300)
def test_an_upload_goes_on_at_any_process_whichever_dies(fleet):  # noqa: F811
    servers = [fleet.start() for _ in range(3)]
    bucket_of(servers[0])
    content = os.urandom(20 * PIECE + 12345)
    path = start_upload(servers[0], "o")
    for number in range(8):
        server = servers[number % 3]
        assert sent(server, path) == number * PIECE
        assert send(server, path, content, number * PIECE, (number + 1) * PIECE) == 308
    # A process dies in the middle of a piece: only what it had said to be durable is there.
    connection = connect(servers[1])
    connection.putrequest("PUT", path)
    connection.putheader("Content-Range", f"bytes {8 * PIECE}-{len(content) - 1}/{len(content)}")
    connection.putheader("Content-Length", str(len(content) - 8 * PIECE))
    connection.endheaders()
    connection.send(content[8 * PIECE:12 * PIECE])
    servers[1].process.send_signal(signal.SIGKILL)
    servers[1].process.wait()
    connection.close()
    assert sent(servers[2], path) == 8 * PIECE
    status, _, text = call(servers[2], "PUT", path, content[8 * PIECE:],
                           Content_Range=f"bytes {8 * PIECE}-{len(content) - 1}/{len(content)}")
    assert status == 200 and int(json.loads(text)["size"]) == len(content)
    status, headers, text = call(servers[0], "GET", "/storage/v1/b/data/o/o?alt=media")
    assert status == 200 and text == content and "md5=" in headers["X-Goog-Hash"]
    assert call(servers[0], "PUT", path, b"", Content_Range="bytes */*")[0] == 404


def test_what_is_composed_at_one_process_is_read_at_another(fleet):  # noqa: F811
    first, second = fleet.start(), fleet.start()
    bucket_of(first)
    for name, text in (("a", "12345"), ("b", ""), ("c", "6789")):
        assert call(first, "POST", f"/upload/storage/v1/b/data/o?uploadType=media&name={name}", text)[0] == 200
    body = json.dumps({"sourceObjects": [{"name": n} for n in "abcac"]})
    assert call(second, "POST", "/storage/v1/b/data/o/whole/compose", body, Content_Type="application/json")[0] == 200
    assert call(first, "GET", "/storage/v1/b/data/o/whole?alt=media")[2] == b"123456789123456789"
    assert call(second, "DELETE", "/storage/v1/b/data/o/a")[0] == 204
    assert call(second, "GET", "/storage/v1/b/data/o/whole?alt=media", Range="bytes=3-5")[2] == b"456"
