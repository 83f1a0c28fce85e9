"""google-cloud-storage, gcsfs and pandas against the object store: nothing of them is patched but where
they connect."""
import hashlib
import os
import socket
import time
import urllib.parse

import pytest

google_storage = pytest.importorskip("google.cloud.storage")

import requests  # noqa: E402
from google.api_core import exceptions  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402

MB = 1024 * 1024


@pytest.fixture(scope="module")
def client(server):
    return google_storage.Client(project="p1", credentials=AnonymousCredentials(),
                                 client_options={"api_endpoint": server.url})


@pytest.fixture
def bucket(client, request):
    name = "b-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    made = client.create_bucket(name)
    yield made
    made.delete(force=True)


def names(listed):
    return [blob.name for blob in listed]


def test_buckets_are_made_found_changed_and_deleted(client):
    bucket = client.bucket("b-life")
    assert not bucket.exists()
    bucket.create(location="EU")
    assert bucket.exists()
    with pytest.raises(exceptions.Conflict):
        client.create_bucket("b-life")
    bucket.labels = {"team": "a"}
    bucket.patch()
    again = client.get_bucket("b-life")
    assert again.labels == {"team": "a"} and again.location == "EU"
    assert "b-life" in [b.name for b in client.list_buckets()]
    bucket.blob("o").upload_from_string("x")
    with pytest.raises(exceptions.Conflict):
        bucket.delete()
    bucket.blob("o").delete()
    bucket.delete()
    with pytest.raises(exceptions.NotFound):
        client.get_bucket("b-life")


def test_what_a_bucket_would_not_keep_is_refused(client):
    bucket = client.bucket("b-versions")
    bucket.versioning_enabled = True
    with pytest.raises(exceptions.MethodNotImplemented):
        bucket.create()


@pytest.mark.parametrize("name", ["plain.txt", "a/b/c d.txt", "ünï/日本", "a%2Fb", "q?x=1&y#z", "a+b",
                                  "a:b", "..x", "a//b", " lead", "x" * 1024])
def test_any_name_holds_its_bytes(bucket, name):
    blob = bucket.blob(name)
    blob.upload_from_string(b"bytes of " + name.encode(), content_type="text/x-test")
    again = bucket.get_blob(name)
    assert again.name == name and again.content_type == "text/x-test"
    assert again.download_as_bytes(checksum="crc32c") == b"bytes of " + name.encode()
    assert again.download_as_bytes(checksum="md5") == b"bytes of " + name.encode()
    assert names(bucket.list_blobs()) == [name]
    blob.delete()
    assert not blob.exists()


@pytest.mark.parametrize("name", [".", "..", "a\nb", "x" * 1025])
def test_a_name_that_cloud_storage_refuses_is_refused(bucket, name):
    with pytest.raises((exceptions.BadRequest, exceptions.NotFound)):
        bucket.blob(name).upload_from_string("x")


def test_small_and_empty_objects_come_back_with_all_their_metadata(bucket):
    blob = bucket.blob("o")
    blob.metadata = {"k": "v", "ü": "日本"}
    blob.cache_control = "no-store"
    blob.content_language = "de"
    blob.upload_from_string(b"hello", content_type="text/plain")
    blob.reload()
    assert blob.size == 5 and blob.metadata == {"k": "v", "ü": "日本"}
    assert blob.cache_control == "no-store" and blob.content_language == "de"
    assert blob.crc32c == "mnG7TA==" and blob.md5_hash == "XUFAKrxLKna5cZ2REBfFkg=="
    assert blob.storage_class == "STANDARD" and blob.metageneration == 1
    assert blob.etag and blob.time_created and blob.updated and blob.id
    blob.metadata = {"k": None, "n": "1"}
    blob.patch()
    blob.reload()
    assert blob.metadata == {"ü": "日本", "n": "1"} and blob.metageneration == 2
    blob.metadata = {"only": "this"}
    blob.update()
    blob.reload()
    assert blob.metadata == {"only": "this"} and blob.download_as_bytes() == b"hello"
    empty = bucket.blob("empty")
    empty.upload_from_string(b"")
    assert empty.download_as_bytes() == b"" and empty.size == 0


def test_ranges_are_parts_of_the_bytes(bucket, server):
    data = bytes(range(256)) * 1000
    blob = bucket.blob("r")
    blob.upload_from_string(data)
    assert blob.download_as_bytes(start=10, end=19) == data[10:20]
    assert blob.download_as_bytes(start=255990) == data[255990:]
    url = f"{server.url}/storage/v1/b/{bucket.name}/o/r?alt=media"
    for text, want in (("bytes=-7", data[-7:]), ("bytes=0-0", data[:1]),
                       ("bytes=255999-300000", data[-1:]), ("bytes=-300000", data)):
        answer = requests.get(url, headers={"Range": text}, timeout=30)
        assert answer.status_code == 206 and answer.content == want
        assert answer.headers["Content-Range"].endswith("/256000")
    for text in ("bytes=256000-", "bytes=-0"):
        answer = requests.get(url, headers={"Range": text}, timeout=30)
        assert answer.status_code == 416 and answer.headers["Content-Range"] == "bytes */256000"
    for text in ("bytes=1-2,4-5", "lines=1-2", "bytes=9-3", "bytes=x"):
        answer = requests.get(url, headers={"Range": text}, timeout=30)
        assert answer.status_code == 200 and answer.content == data
    head = requests.head(url, timeout=30)
    assert head.status_code == 200 and head.headers["Content-Length"] == "256000"
    assert head.headers["X-Goog-Hash"].startswith("crc32c=")


def test_a_large_file_goes_up_in_chunks_and_comes_back(bucket, tmp_path):
    block = os.urandom(MB)
    path = tmp_path / "large"
    with open(path, "wb") as f:
        for i in range(300):
            f.write(i.to_bytes(4, "big") + block[4:])
    blob = bucket.blob("large", chunk_size=16 * MB)
    blob.upload_from_filename(path, checksum="crc32c")
    assert blob.size == 300 * MB
    whole = bucket.blob("large-in-one")
    whole.upload_from_filename(path, checksum="md5")
    assert whole.crc32c == blob.crc32c
    back = tmp_path / "back"
    bucket.blob("large").download_to_filename(back, checksum="crc32c")
    assert back.stat().st_size == 300 * MB
    with open(path, "rb") as a, open(back, "rb") as b:
        assert hashlib.file_digest(a, "sha256").digest() == hashlib.file_digest(b, "sha256").digest()


def test_files_are_written_and_read_as_streams(bucket):
    with bucket.blob("s").open("w", chunk_size=256 * 1024) as f:
        for i in range(50000):
            f.write(f"line {i}\n")
    with bucket.blob("s").open("r") as f:
        assert [line for line in f][49999] == "line 49999\n"


def start_upload(server, bucket, name, **headers):
    answer = requests.post(
        f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name={name}",
        headers={k.replace("_", "-"): v for k, v in headers.items()}, json={}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.headers["Location"]


def put(url, data, content_range, **headers):
    return requests.put(url, data=data, timeout=30, headers={
        "Content-Range": content_range, **{k.replace("_", "-"): v for k, v in headers.items()}})


def test_a_broken_connection_loses_no_durable_byte(bucket, server):
    data = os.urandom(20 * MB)
    url = start_upload(server, bucket, "broken")
    target = urllib.parse.urlsplit(url)
    with socket.create_connection((target.hostname, target.port)) as s:
        s.sendall((f"PUT {target.path}?{target.query} HTTP/1.1\r\nHost: {target.netloc}\r\n"
                   f"Content-Length: {len(data)}\r\n"
                   f"Content-Range: bytes 0-{len(data) - 1}/{len(data)}\r\n\r\n").encode())
        s.sendall(data[:7 * MB + 123])
    deadline = time.monotonic() + 30  # less than an idle connection lives
    while (answer := put(url, b"", f"bytes */{len(data)}")).status_code == 503:
        assert time.monotonic() < deadline  # the broken call still has it
        time.sleep(0.1)
    assert answer.status_code == 308
    have = int(answer.headers["Range"].removeprefix("bytes=0-")) + 1
    assert 0 < have <= 7 * MB + 123
    # Some of it again, then the rest.
    answer = put(url, data[have - 1000:], f"bytes {have - 1000}-{len(data) - 1}/{len(data)}")
    assert answer.status_code == 200, answer.text
    assert bucket.get_blob("broken").download_as_bytes(checksum="md5") == data


def test_an_upload_goes_on_after_the_server_was_killed(tmp_path_factory):
    from server import Server
    running = Server(tmp_path_factory.mktemp("killed"))
    client = google_storage.Client(project="p1", credentials=AnonymousCredentials(),
                                   client_options={"api_endpoint": running.url})
    bucket = client.create_bucket("b-killed")
    data = os.urandom(3 * MB)
    url = start_upload(running, bucket, "o")
    assert put(url, data[:2 * MB], f"bytes 0-{2 * MB - 1}/*").status_code == 308
    running.kill()
    running.start()
    url = running.url + url[url.index("/upload"):]
    answer = put(url, b"", "bytes */*")
    assert answer.status_code == 308 and answer.headers["Range"] == f"bytes=0-{2 * MB - 1}"
    answer = put(url, data[2 * MB:], f"bytes {2 * MB}-{3 * MB - 1}/{3 * MB}")
    assert answer.status_code == 200
    assert requests.get(f"{running.url}/storage/v1/b/b-killed/o/o?alt=media",
                        timeout=30).content == data
    assert running.stop() == 0


def test_what_a_resumable_upload_says_must_agree(bucket, server):
    url = start_upload(server, bucket, "r", X_Upload_Content_Length="10")
    assert put(url, b"", "bytes */*").headers.get("Range") is None
    for data, content_range in ((b"12345", "bytes 0-4/11"), (b"12345", "bytes 0-5/10"),
                                (b"12345", "bytes 4-0/10"), (b"12345", "bytes 5-9/10"),
                                (b"12345", "bytes */10"), (b"12345", "items 0-4/10"),
                                (b"", "bytes 0-18446744073709551615/*"), (b"1", "bytes 0-0"),
                                (b"12345678901", "bytes 0-10/*")):
        assert put(url, data, content_range).status_code == 400, content_range
    assert put(url, b"12345", "bytes 0-4/10").headers["Range"] == "bytes=0-4"
    answer = put(url, b"67890", "bytes 5-9/10")
    assert answer.status_code == 200 and answer.json()["size"] == "10"
    assert put(url + "x", b"", "bytes */*").status_code == 404
    url = start_upload(server, bucket, "c")
    assert requests.delete(url, timeout=30).status_code == 499
    assert put(url, b"1", "bytes 0-0/1").status_code == 404
    empty = start_upload(server, bucket, "e")
    assert put(empty, b"", "bytes */0").json()["size"] == "0"


def test_an_upload_is_of_its_bucket(client, bucket, server):
    other = client.create_bucket("b-other-of-upload")
    url = start_upload(server, bucket, "o")
    elsewhere = url.replace(f"/b/{bucket.name}/", f"/b/{other.name}/")
    assert put(elsewhere, b"1", "bytes 0-0/1").status_code == 404
    assert put(url, b"1", "bytes 0-0/1").status_code == 200
    other.delete()


def test_wrong_hashes_are_refused_and_leave_no_object(bucket, server):
    base = f"{server.url}/upload/storage/v1/b/{bucket.name}/o"
    good = "crc32c=mnG7TA==,md5=XUFAKrxLKna5cZ2REBfFkg=="
    for given, status in ((good, 200), ("crc32c=mnG7TQ==", 400), ("md5=AAAAAAAAAAAAAAAAAAAAAA==", 400),
                          ("crc32c=mnG7TB==", 400), ("md5=x", 400)):
        answer = requests.post(f"{base}?uploadType=media&name=h", data=b"hello", timeout=30,
                               headers={"X-Goog-Hash": given})
        assert answer.status_code == status, answer.text
        if status == 200:
            bucket.blob("h").delete()
    for resource, status in (({"crc32c": "mnG7TA=="}, 200), ({"crc32c": "AAAAAA=="}, 400),
                             ({"md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="}, 400)):
        answer = multipart(base, {"name": "m", **resource}, b"hello")
        assert answer.status_code == status, answer.text
    bucket.blob("m").delete()
    url = start_upload(server, bucket, "r")
    answer = put(url, b"hello", "bytes 0-4/5", X_Goog_Hash="crc32c=AAAAAA==")
    assert answer.status_code == 400 and "doesn't match" in answer.text
    assert names(bucket.list_blobs()) == []


def multipart(base, resource, data, newline="\r\n", boundary="=a b=", quote='"'):
    import json
    body = newline.join([f"--{boundary}", "Content-Type: application/json; charset=UTF-8", "",
                         json.dumps(resource), f"--{boundary}", "content-type: text/csv", "", ""])
    body = body.encode() + data + f"{newline}--{boundary}--".encode()
    return requests.post(f"{base}?uploadType=multipart", data=body, timeout=30, headers={
        "Content-Type": f"multipart/related; boundary={quote}{boundary}{quote}"})


def test_multipart_bodies_of_every_client_are_read(bucket, server):
    base = f"{server.url}/upload/storage/v1/b/{bucket.name}/o"
    data = b"\r\n--not\r\n\n--=a\r\n" + bytes(range(256))
    for newline, quote in (("\r\n", '"'), ("\n", "'")):
        answer = multipart(base, {"name": "m"}, data, newline, quote=quote)
        assert answer.status_code == 200, answer.text
        assert answer.json()["contentType"] == "text/csv"
        assert bucket.blob("m").download_as_bytes() == data
    for body in (b"", b"--=a b=\r\n\r\n{}\r\n--=a b=--", b"--=a b=\r\n\r\n{", b"x"):
        answer = requests.post(f"{base}?uploadType=multipart&name=x", data=body, timeout=30, headers={
            "Content-Type": 'multipart/related; boundary="=a b="'})
        assert answer.status_code == 400
    assert multipart(base, {"name": "m", "metadata": {"k": "v" * 9000}}, b"").status_code == 400
    assert multipart(base, {"name": "m", "x": "v" * 66000}, b"").status_code == 400
    many = {"name": "m", "metadata": {f"k{i}": "" for i in range(257)}}
    assert multipart(base, many, b"").status_code == 400
    for bad in ({"name": "m", "contentType": "a\r\nSet-Cookie: x"},
                {"name": "m", "cacheControl": "a\nb"}, {"name": "m", "metadata": []},
                {"name": 1}, {"metadata": {"a": {}}, "name": "m"}):
        assert multipart(base, bad, b"").status_code == 400
    assert requests.post(f"{base}?uploadType=other", timeout=30).status_code == 400


def test_lists_have_prefixes_delimiters_offsets_globs_and_pages(client, bucket):
    every = ["a/1", "a/2", "a/b/3", "b/", "b/4", "c", "d.txt", "e.csv"]
    for name in every:
        bucket.blob(name).upload_from_string("x")

    def listed(**options):
        found = client.list_blobs(bucket, **options)
        return names(found), sorted(found.prefixes)

    assert listed() == (every, [])
    assert listed(prefix="a/") == (every[:3], [])
    assert listed(delimiter="/") == (["c", "d.txt", "e.csv"], ["a/", "b/"])
    assert listed(prefix="a/", delimiter="/") == (["a/1", "a/2"], ["a/b/"])
    assert listed(delimiter="/", include_trailing_delimiter=True)[0][0] == "b/"
    assert listed(start_offset="b/", end_offset="d") == (["b/", "b/4", "c"], [])
    assert listed(match_glob="**.{txt,csv}") == (["d.txt", "e.csv"], [])
    assert listed(match_glob="a/*") == (["a/1", "a/2"], [])
    assert listed(page_size=3) == (every, [])
    assert listed(page_size=1, delimiter="/") == (["c", "d.txt", "e.csv"], ["a/", "b/"])
    assert listed(max_results=2) == (every[:2], [])
    assert listed(fields="items(name),nextPageToken") == (every, [])


def test_copy_rewrite_move_and_compose(client, bucket):
    other = client.create_bucket("b-copies")
    source = bucket.blob("dir/source")
    source.metadata = {"k": "v"}
    source.upload_from_string(b"hello ", content_type="text/x-a")
    made = bucket.copy_blob(source, other, "copied/one")
    assert made.download_as_bytes() == b"hello " and made.content_type == "text/x-a"
    assert other.get_blob("copied/one").metadata == {"k": "v"}
    token, done, total = other.blob("rewritten").rewrite(source)
    assert (token, done, total) == (None, 6, 6)
    source.update_storage_class("NEARLINE")
    assert source.exists()
    moved = bucket.rename_blob(source, "renamed")
    assert moved.download_as_bytes() == b"hello " and not bucket.blob("dir/source").exists()
    bucket.move_blob(bucket.blob("renamed"), "moved/on")
    assert names(bucket.list_blobs()) == ["moved/on"]
    bucket.blob("b").upload_from_string(b"world")
    both = bucket.blob("both")
    both.content_type = "text/x-both"
    both.compose([bucket.blob("moved/on"), bucket.blob("b")])
    both.reload()
    assert both.download_as_bytes() == b"hello world" and both.component_count == 2
    assert both.md5_hash is None and both.content_type == "text/x-both"
    with pytest.raises(exceptions.NotFound):
        both.compose([bucket.blob("absent")])
    bucket.blob("moved/on").delete()
    assert both.download_as_bytes() == b"hello world"
    assert other.blob("copied/one").download_as_bytes() == b"hello "
    other.delete(force=True)


def test_preconditions_hold_or_refuse(bucket, server):
    blob = bucket.blob("p")
    blob.upload_from_string("1", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string("2", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string(b"2" * (9 * MB), if_generation_match=0)
    blob.reload()
    first = blob.generation
    blob.upload_from_string("2", if_generation_match=first)
    assert blob.generation > first
    for options in ({"if_generation_match": first}, {"if_metageneration_match": 2},
                    {"if_etag_match": "other"}):
        with pytest.raises(exceptions.PreconditionFailed):
            blob.download_as_bytes(**options)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("p", generation=first).download_as_bytes()
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=first)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.copy_blob(blob, bucket, "q", if_source_generation_match=first)
    url = f"{server.url}/storage/v1/b/{bucket.name}/o/p"
    assert requests.get(url, params={"ifGenerationNotMatch": blob.generation},
                        timeout=30).status_code == 304
    assert requests.get(url + "?alt=media", timeout=30,
                        headers={"If-None-Match": f'"{blob.etag}"'}).status_code == 304
    assert requests.get(url + "?ifGenerationMatch=x", timeout=30).status_code == 400
    answer = requests.get(url, params={"ifGenerationMatch": first}, timeout=30)
    assert answer.status_code == 412
    assert answer.json()["error"]["errors"][0]["reason"] == "conditionNotMet"


def test_the_emulator_variable_is_enough(server, bucket, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    client = google_storage.Client()
    client.bucket(bucket.name).blob("e").upload_from_string("x")
    assert client.bucket(bucket.name).blob("e").download_as_text() == "x"
    assert bucket.name in [b.name for b in client.list_buckets()]


def test_gcsfs_and_pandas_read_and_write_objects(server, bucket, monkeypatch):
    # Else gcsfs asks by gRPC first whether the bucket is a zonal one.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs = pytest.importorskip("gcsfs")
    pandas = pytest.importorskip("pandas")
    options = {"endpoint_url": server.url, "token": "anon", "project": "p1"}
    files = gcsfs.GCSFileSystem(**options, skip_instance_cache=True)
    root = f"gs://{bucket.name}"
    frame = pandas.DataFrame({"n": range(1000), "text": ["é" * (i % 7) for i in range(1000)]})
    frame.to_json(f"{root}/out/predictions.jsonl", orient="records", lines=True,
                  storage_options=options)
    again = pandas.read_json(f"{root}/out/predictions.jsonl", lines=True, storage_options=options)
    assert again.equals(frame)
    assert files.ls(f"{root}/out") == [f"{bucket.name}/out/predictions.jsonl"]
    assert files.glob(f"{root}/**/*.jsonl") == [f"{bucket.name}/out/predictions.jsonl"]
    data = os.urandom(7 * MB)
    with files.open(f"{root}/big", "wb", block_size=MB) as f:
        f.write(data)
    assert files.cat_file(f"{root}/big") == data
    assert files.cat_file(f"{root}/big", start=5, end=15) == data[5:15]
    files.cp(f"{root}/big", f"{root}/big2")
    files.mv(f"{root}/big2", f"{root}/big3")
    assert files.info(f"{root}/big3")["size"] == len(data)
    files.pipe_file(f"{root}/empty", b"")
    assert files.cat_file(f"{root}/empty") == b""
    files.rm(f"{root}/out", recursive=True)
    assert not files.exists(f"{root}/out/predictions.jsonl")
