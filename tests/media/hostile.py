#!/usr/bin/env python3
"""usage: hostile.py FOLDER

Writes media that no decoder can like, made from small real ones in FOLDER/good (see media_files.py), and
FOLDER/hostile.json: for each its name, its MIME type and what it is. Every one must become an error of its line
and nothing else. Needs Python's standard library."""
import json
import pathlib
import random
import struct
import sys
import zlib

TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif",
         "mp4": "video/mp4", "webm": "video/webm", "wav": "audio/wav", "mp3": "audio/mp3",
         "flac": "audio/flac", "ogg": "audio/ogg"}


def png(width, height, data=b"", depth=8, colour=2):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


def box(kind, body, size=None):
    return struct.pack(">I", len(body) + 8 if size is None else size) + kind + body


def truncated(good):
    """Cut before what a decoder needs. Sounds and WebM can end anywhere, so these lose their heads only."""
    for kind, at in (("jpg", (0.2, 0.35, 0.5, 0.65, 0.8)), ("png", (0.05, 0.2, 0.4, 0.6, 0.8)),
                     ("webp", (0.1, 0.3, 0.5, 0.7)), ("mp4", (0.1, 0.3, 0.5, 0.7, 0.9))):
        data = good[kind]
        for part in at:
            yield kind, f"cut at {part}", data[:int(len(data) * part)]
    for kind in TYPES:
        for bytes_left in (1, 4, 9, 16, 24):
            yield kind, f"{bytes_left} bytes", good[kind][:bytes_left]


def mistyped(good):
    """Each format under the type of each other one."""
    for kind in good:
        for other in TYPES:
            if kind != other:
                yield other, f"{kind} that says {TYPES[other]}", good[kind]


def lying(good):
    """Headers that promise too much, or nothing."""
    for width, height in ((65535, 65535), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (0, 0), (0, 100), (100000, 2),
                          (30000, 30000), (20000, 10000)):
        yield "png", f"a PNG of {width} x {height}", png(width, height, bytes(1000))
    yield "png", "a PNG bomb: 8000 x 8000 in few bytes, cut", png(8000, 8000, bytes(8000 * 200))
    for depth, colour in ((3, 2), (8, 1), (16, 3), (255, 255)):
        yield "png", f"a PNG of depth {depth} and colour {colour}", png(8, 8, bytes(1000), depth, colour)
    jpeg = bytearray(good["jpg"])
    at = next(i for i in range(len(jpeg) - 1) if jpeg[i] == 0xFF and jpeg[i + 1] in (0xC0, 0xC2))
    for width, height in ((65500, 65500), (0, 0), (20000, 20000), (65535, 2000)):
        jpeg[at + 5:at + 9] = struct.pack(">HH", height, width)
        yield "jpg", f"a JPEG of {width} x {height}", bytes(jpeg)
    gif = bytearray(good["gif"])
    for width, height in ((65535, 65535), (40000, 30000)):
        gif[6:10] = struct.pack("<HH", width, height)
        yield "gif", f"a GIF of {width} x {height}", bytes(gif)
    webp = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
    for width in (16777215, 40000):
        size = struct.pack("<I", width)[:3]
        yield "webp", f"a WebP of {width} x {width}", webp + size + size
    for channels, rate, bits in ((0, 16000, 16), (2, 0, 16), (65535, 16000, 16), (1, 16000, 0)):
        yield "wav", f"a WAV of {channels} channels, {rate} Hz, {bits} bits", (
            b"RIFF" + struct.pack("<I", 1000) + b"WAVEfmt " +
            struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * 2, 2, bits) + b"data" + struct.pack("<I", 0))


def boxes(good):
    """MP4 whose boxes are wrong."""
    head = box(b"ftyp", b"isom\0\0\0\0isom")
    yield "mp4", "nothing behind ftyp", head
    yield "mp4", "a moov that is empty", head + box(b"moov", b"")
    yield "mp4", "a box larger than the file", head + box(b"moov", b"", 2**31)
    yield "mp4", "a box of 2^63", head + struct.pack(">I", 1) + b"moov" + struct.pack(">Q", 2**63)
    yield "mp4", "a box of 1 byte", head + box(b"moov", b"", 1)
    deep = b""
    for _ in range(2000):
        deep = box(b"moov", deep)
    yield "mp4", "boxes 2000 deep", head + deep
    yield "mp4", "only mdat", head + box(b"mdat", bytes(5000))
    mp4 = good["mp4"]
    for name in (b"stsd", b"trak", b"mdia", b"stbl"):
        yield "mp4", f"{name.decode()} is missing", mp4.replace(name, b"free")
    webm = good["webm"]
    yield "webm", "a header with nothing behind it", webm[:40]
    yield "webm", "EBML of another kind", webm.replace(b"webm", b"evil", 1)[:300]
    yield "webm", "noise behind the header", webm[:60] + random.Random(1).randbytes(5000)


def playlists():
    """What makes a careless ffmpeg read files and addresses."""
    secret = "/etc/passwd"
    texts = {
        "an HLS playlist": f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "an HLS playlist of the web": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n#EXT-X-ENDLIST\n",
        "a list for concat": f"ffconcat version 1.0\nfile {secret}\n",
        "a DASH manifest": f"<?xml version='1.0'?><MPD><BaseURL>file://{secret}</BaseURL></MPD>",
        "an SVG": f"<svg xmlns:xlink='x'><image xlink:href='file://{secret}'/></svg>",
        "an SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
        "a list of WPL": "<?wpl version='1.0'?><smil/>",
        "a script": "#!/bin/sh\necho no\n",
    }
    for what, text in texts.items():
        for kind in ("mp4", "jpg", "wav"):
            yield kind, f"{what} as {TYPES[kind]}", text.encode()


def noise():
    for i, kind in enumerate(TYPES):
        yield kind, "noise", random.Random(i).randbytes(2000)
        yield kind, "nothing", b""
    yield "jpg", "zeros", bytes(100000)
    yield "jpg", "a program", b"\x7fELF" + bytes(1000)
    yield "jpg", "a PDF", b"%PDF-1.7\n" + bytes(100)
    yield "jpg", "a HEIC", box(b"ftyp", b"heic\0\0\0\0mif1heic") + bytes(100)
    yield "png", "an AVIF", box(b"ftyp", b"avif\0\0\0\0mif1") + bytes(100)


def all_of(good):
    for source in (truncated(good), mistyped(good), lying(good), boxes(good), playlists(), noise()):
        yield from source


def write_all(folder):
    """The list of all, which is also in FOLDER/hostile.json."""
    folder = pathlib.Path(folder)
    good = {kind: (folder / "good" / f"a.{kind}").read_bytes() for kind in TYPES}
    listed = []
    for number, (kind, what, data) in enumerate(all_of(good)):
        name = f"{number:03}.{kind}"
        (folder / name).write_bytes(data)
        listed.append({"name": name, "mimeType": TYPES[kind], "what": what})
    (folder / "hostile.json").write_text(json.dumps(listed, indent=1))
    return listed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(len(write_all(sys.argv[1])))
