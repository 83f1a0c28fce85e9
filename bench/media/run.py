#!/usr/bin/env python3
"""usage: bench/media/run.py [--projector FILE] [--model FILE] [--lines N]

Media: how fast files are decoded, and what it saves to encode each once.

- decoding: frames/s of a 1280 x 720 video (all frames and one a second) and of a 4000 x 3000 JPEG, in the sealed process,
  with the milliseconds that a new process takes
- a run of N lines (24) that share an image, against N lines with an image each: seconds, and the share of decoding in the
  second

Without --projector the tests' own is used (tests/media/models.py): its encoder is far smaller than any real one, so that
the share of decoding is the largest that there can be. environment: TRANCHE, the program (default: build/tranche)."""
import argparse
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "media"))
import media_files  # noqa: E402
import models  # noqa: E402

PROGRAM = pathlib.Path(os.environ.get("TRANCHE", ROOT / "build" / "tranche")).resolve()
DECODE = PROGRAM.parent / "bench_decode"


def decode(*arguments):
    done = subprocess.run([DECODE, *map(str, arguments)], capture_output=True, text=True, check=True)
    return [json.loads(row) for row in done.stdout.splitlines()]


def rate(folder):
    video, image = folder / "v.mp4", folder / "i.jpg"
    media_files.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30:d=20", "-pix_fmt", "yuv420p", video)
    media_files.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=4000x3000", "-frames:v", 1, image)
    first, *warm = decode("--repeat", 4, image)
    image_us = min(row["us"] for row in warm)
    print(f"a new process: {(first['us'] - image_us) / 1000:.0f} ms")
    print(f"JPEG of 4000 x 3000: {1e6 / image_us:.1f}/s")
    for fps in (24, 1):
        _, row = decode("--fps", fps, "--repeat", 2, video)
        count = len(row["pieces"])
        print(f"MP4 of 1280 x 720 with 30 frames/s, {fps} a second: {count * 1e6 / row['us']:.0f} frames/s given, "
              f"{600 * 1e6 / row['us']:.0f} decoded")
    return image_us


def run(folder, config, name, images):
    lines = [{"request": {"contents": [{"role": "user", "parts": [
        {"inlineData": {"mimeType": "image/jpeg", "data": base64.b64encode(data).decode()}},
        {"text": f"Question {i}: what is this?"}]}],
        "generationConfig": {"temperature": 0, "maxOutputTokens": 4}}} for i, data in enumerate(images)]
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    begun = time.monotonic()
    done = subprocess.run([PROGRAM, "run", "in.jsonl", "-o", "out.jsonl", "--model", "m", "--config", config, "--fresh",
                           "--overwrite", "--state", "state"], cwd=folder, capture_output=True, text=True,
                          check=False)
    seconds = time.monotonic() - begun
    if done.returncode:
        sys.exit(done.stderr)
    print(f"{len(images)} lines, {name}: {seconds:.2f} s")
    return seconds


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--projector")
    parser.add_argument("--model", default=pathlib.Path.home() / ".cache/tranche/deps/models/smollm2-135m-instruct.gguf")
    parser.add_argument("--lines", type=int, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        models.write_all(folder)
        image_us = rate(folder)
        (folder / "config.yaml").write_text(
            f"models:\n  - {{name: m, kind: local, file: {options.model}, "
            f"projector: {options.projector or folder / 'llava.gguf'}, context: 2048}}\n")
        image = (folder / "i.jpg").read_bytes()
        # Bytes behind the end of a JPEG change its digest and nothing else.
        each = run(folder, "config.yaml", "an image each", [image + bytes([i]) for i in range(options.lines)])
        once = run(folder, "config.yaml", "one image", [image] * options.lines)
        print(f"encoding once saves {100 * (1 - once / each):.0f} %; decoding is "
              f"{100 * options.lines * image_us / 1e6 / each:.0f} % of the first")


if __name__ == "__main__":
    main()
