"""Damaged and lying GGUF files, models and adapters: `models check` and `models add` refuse each in one line,
and never crash, hang or take memory that a file has no right to."""
import resource
import struct
import subprocess

import pytest

import gguf_file
from conftest import PROGRAM, default_signals

GOOD = gguf_file.adapter(layers=2)
MEMORY = 2 * 1024**3
META = {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora",
        "adapter.lora.alpha": 8.0}
TENSORS = {"blk.0.attn_q.weight.lora_a": ((8, 2), [0.5] * 16),
           "blk.0.attn_q.weight.lora_b": ((2, 8), [0.5] * 16)}


def patched(at, fmt, value, data=GOOD):
    return data[:at] + struct.pack(fmt, value) + data[at + struct.calcsize(fmt):]


def shape_of(dimensions):
    """A file whose only tensor claims these dimensions."""
    data = gguf_file.write(META, {"x.lora_a": ((8, 2), [0.0] * 16)})
    at = data.index(b"x.lora_a") + 8
    return data[:at] + struct.pack("<I", len(dimensions)) + \
        struct.pack(f"<{len(dimensions)}Q", *dimensions) + data[at + 4 + 16:]


def cases():
    """Name and bytes of each file."""
    for part in (0, 1, 3, 4, 7, 8, 15, 16, 23, 24, 25, 40, 60, 100, 150, 200, 300, 400, 500):
        yield f"cut at {part}", GOOD[:part]
    for part in (2, 3, 5, 9):
        yield f"cut at 1/{part}", GOOD[:len(GOOD) // part]
    yield "one byte short", GOOD[:-200]
    for version in (0, 1, 2**31, 2**32 - 1):
        yield f"version {version}", patched(4, "<I", version)
    for count in (2**16, 2**31, 2**40, 2**63, 2**64 - 1):
        yield f"{count} tensors", patched(8, "<Q", count)
        yield f"{count} keys", patched(16, "<Q", count)
        yield f"a key of {count} bytes", patched(24, "<Q", count)
    for kind in (13, 99, 2**31, 2**32 - 1):
        yield f"a value of type {kind}", patched(24 + 8 + len("general.type"), "<I", kind)
    first_text = 24 + 8 + len("general.type") + 4
    for count in (2**20, 2**33, 2**63, 2**64 - 8):
        yield f"a text of {count} bytes", patched(first_text, "<Q", count)
    for dimensions in ((0, 2), (2**31, 2**31), (2**62, 2), (2**63, 2), (2**64 - 1, 1), (2**20, 2**20),
                       (1,) * 5, (1,) * 200):
        yield f"a tensor of {len(dimensions)} dimensions, {dimensions[:2]}", shape_of(dimensions)
    name = GOOD.index(b"blk.0.attn_q.weight.lora_a")
    head = name + len("blk.0.attn_q.weight.lora_a") + 4 + 16
    for kind in (4, 5, 99, 2**31, 2**32 - 1):
        yield f"a tensor of type {kind}", patched(head, "<I", kind)
    for offset in (1, 33, 2**31, 2**40, 2**63, 2**64 - 32):
        yield f"a tensor at {offset}", patched(head + 4, "<Q", offset)
    yield "two tensors of a name", GOOD.replace(b"blk.1.", b"blk.0.")
    yield "no architecture", gguf_file.write({**META, "general.architecture": ""}, TENSORS)
    yield "an architecture that is a number", gguf_file.write({**META, "general.architecture": 7}, TENSORS)
    yield "another kind", gguf_file.write({**META, "adapter.type": "other"}, TENSORS)
    yield "no tensors", gguf_file.write(META, {})
    yield "tensors of a model", gguf_file.write(META, {"blk.0.attn_q.weight": ((8, 2), [0.0] * 16)})
    yield "big endian", b"GGUF" + GOOD[4:24][::-1] + GOOD[24:]
    yield "text", b"GGUF is not all\n" * 100
    yield "zeros", b"\0" * 4096
    yield "magic and zeros", b"GGUF" + b"\0" * 4096
    yield "magic and ones", b"GGUF" + b"\xff" * 4096


CASES = list(cases())


def limited():
    default_signals()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def check_refused(tranche, *arguments):
    result = subprocess.run([PROGRAM, "models", *arguments], cwd=tranche.folder, capture_output=True,
                            text=True, env=tranche.environment, timeout=60, check=False,
                            preexec_fn=None if "ASAN_OPTIONS" in tranche.environment else limited)
    assert result.returncode in (2, 3), (arguments, result)
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    assert result.stdout == ""


def test_there_are_many():
    assert len(CASES) >= 60 and len({name for name, _ in CASES}) == len(CASES)


@pytest.mark.parametrize("part", range(4))
def test_a_damaged_file_is_refused_in_one_line(tranche, part):
    for name, data in CASES[part::4]:
        path = tranche.folder / (name.replace("/", " of ") + ".gguf")
        path.write_bytes(data)
        check_refused(tranche, "check", path)


def test_none_is_registered(tranche):
    for name, data in CASES[::7]:
        (tranche.folder / "x.gguf").write_bytes(data)
        check_refused(tranche, "add", "x", "--base", "smollm2-135m-instruct", "--adapter", "x.gguf",
                      "--state", "state")
    assert not list((tranche.folder / "state/models").glob("*")) \
        if (tranche.folder / "state/models").exists() else True
