"""GGUF files for tests, written by hand: adapters and tiny damaged models. Source: ggml/docs/gguf.md."""
import struct

U32, F32, STRING = 4, 6, 8


def _text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def write(metadata, tensors, align=32):
    """The bytes of a file: metadata {key: str, int or float}, tensors {name: (shape, [floats])}, the shape in
    GGUF's order (columns first)."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        out += _text(key)
        if isinstance(value, str):
            out += struct.pack("<I", STRING) + _text(value)
        elif isinstance(value, int):
            out += struct.pack("<II", U32, value)
        else:
            out += struct.pack("<If", F32, value)
    data = b""
    for name, (shape, values) in tensors.items():
        out += _text(name) + struct.pack("<I", len(shape))
        out += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", 0, len(data))
        data += struct.pack(f"<{len(values)}f", *values)
        data += b"\0" * (-len(data) % align)
    return out + b"\0" * (-len(out) % align) + data


def chance(count, seed, size):
    """`count` numbers around 0, at most `size` from it, the same for the same seed."""
    numbers, state = [], seed
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        numbers.append(((state >> 40) / 2**23 - 1) * size)
    return numbers


def adapter(layers=30, width=576, rank=4, seed=1, size=0.0, alpha=8.0, matrix="attn_q", outputs=576,
            architecture="llama"):
    """A LoRA adapter for the shipped model; with size 0 it changes nothing."""
    tensors = {}
    for layer in range(layers):
        name = f"blk.{layer}.{matrix}.weight"
        tensors[name + ".lora_a"] = ((width, rank), chance(width * rank, seed + layer, 0.05))
        tensors[name + ".lora_b"] = ((rank, outputs), chance(rank * outputs, seed + 99 + layer, size))
    return write({"general.type": "adapter", "general.architecture": architecture,
                  "adapter.type": "lora", "adapter.lora.alpha": alpha}, tensors)
