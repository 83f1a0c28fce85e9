"""The Files API's upload protocol by hand: what clients do when all goes well, and what they may do when not."""
import pytest

requests = pytest.importorskip("requests")

START = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}


def start(server, resource=None, **headers):
    answer = requests.post(f"{server.url}/upload/v1beta/files", json={"file": resource or {}}, timeout=30,
                           headers={**START, **{k.replace("_", "-"): v for k, v in headers.items()}})
    return answer.headers.get("X-Goog-Upload-URL"), answer


def send(url, command, offset=0, data=b""):
    answer = requests.post(url, data=data, timeout=30, headers={
        "X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset),
        "Content-Type": "application/json"})
    return answer.status_code, answer.headers.get("X-Goog-Upload-Size-Received"), answer


def test_an_upload_can_be_asked_after_repeated_and_finished(server):
    url, answer = start(server, {"display_name": "d"}, X_Goog_Upload_Header_Content_Length="10",
                        X_Goog_Upload_Header_Content_Type="jsonl")
    assert answer.status_code == 200 and answer.headers["X-Goog-Upload-Status"] == "active"
    assert send(url, "query")[:2] == (200, "0")
    assert send(url, "upload", 0, b"12345")[:2] == (200, "5")
    assert send(url, "upload", 7, b"1")[0] == 400  # a gap
    assert send(url, "upload, finalize", 5, b"678")[0] == 400  # not all
    assert send(url, "query")[:2] == (200, "8")
    assert send(url, "upload", 5, b"678901")[0] == 400  # more than announced
    assert send(url, "finalize")[0] == 400
    status, _, answer = send(url, "upload, finalize", 3, b"4567890")
    assert status == 200 and answer.headers["X-Goog-Upload-Status"] == "final"
    file = answer.json()["file"]
    assert file["mimeType"] == "jsonl" and file["sizeBytes"] == "10" and file["displayName"] == "d"
    download = requests.get(f"{server.url}/v1beta/{file['name']}:download?alt=media", timeout=30,
                            headers={"Range": "bytes=2-4"})
    assert download.status_code == 206 and download.content == b"345"
    assert send(url, "query")[0] == 404


def test_what_cannot_be_a_file_is_refused_at_the_start(server):
    limit = 2 * 1024 ** 3
    assert start(server, X_Goog_Upload_Header_Content_Length=str(limit))[0]
    for resource, headers in (({}, {"X_Goog_Upload_Header_Content_Length": str(limit + 1)}),
                              ({}, {"X_Goog_Upload_Header_Content_Length": "-1"}),
                              ({"name": "files/UPPER"}, {}), ({"name": "files/-a"}, {}),
                              ({"name": "files/" + "a" * 41}, {}), ({"displayName": "d" * 513}, {}),
                              ({"mimeType": "a\r\nb"}, {}), ({}, {"X_Goog_Upload_Command": "upload"})):
        url, answer = start(server, resource, **headers)
        assert answer.status_code == 400 and not url, (resource, headers)
    url, _ = start(server, {"name": "files/" + "a" * 40})
    assert send(url, "upload, finalize", 0, b"1")[0] == 200
    assert start(server, {"name": "files/" + "a" * 40})[1].status_code == 409
    assert send(url + "x", "query")[0] == 404
    for command in ("", "start", "upload, nothing"):
        assert send(start(server)[0], command)[0] == 400


def test_a_cancelled_upload_is_gone(server):
    url, _ = start(server)
    assert send(url, "upload", 0, b"1")[0] == 200
    assert send(url, "cancel")[0] == 200
    assert send(url, "query")[0] == 404


def test_registered_objects_are_files_and_expire(server):
    server.upload("b-register", "dir/o.jsonl", "hello")
    status, answer = server.call("POST", "/v1beta/files:register", {"uris": ["gs://b-register/dir/o.jsonl"]})
    assert status == 200, answer
    file = answer["files"][0]
    assert file["displayName"] == "o.jsonl" and file["uri"].startswith("https://")
    assert file["uri"].endswith("/v1beta/" + file["name"])
    for uris in ([], ["gs://b-register/absent"], ["https://x/y"], ["gs://b-register"], [1]):
        status, _ = server.call("POST", "/v1beta/files:register", {"uris": uris})
        assert status in (400, 404), uris
    # The object goes, the file's bytes stay; the file goes after its 48 hours.
    server.call("DELETE", "/storage/v1/b/b-register/o/dir%2Fo.jsonl")
    url = f"{server.url}/v1beta/{file['name']}:download?alt=media"
    assert requests.get(url, timeout=30).content == b"hello"
    server.advance(48 * 3600 + 1)
    assert requests.get(url, timeout=30).status_code == 404
