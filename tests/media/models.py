#!/usr/bin/env python3
"""usage: models.py FOLDER [WIDTH [TOKENIZER.gguf]]

Writes projectors ("mmproj") with weights by chance, the same ones each time, for a text model whose rows are
WIDTH wide (576, as SmolLM2-135M's are):

  llava.gguf      images of 56 x 56, 16 rows each, that attend backwards only
  gemma3.gguf     images of 64 x 64, 4 rows each, that attend to each other both ways
  ultravox.gguf   sounds by pieces of 30 s, 150 rows each
  mixed.gguf      llava and ultravox in one file
  qwen2vl.gguf    images of any size, whose positions have two dimensions: for the model qwen2vl-text.gguf, which
                  needs a third argument, a GGUF whose tokenizer it has

Encoders of real size are of the same kinds; only their sizes differ. Needs Python's standard library. Sources:
ggml/docs/gguf.md, `tools/mtmd/clip.cpp` of llama.cpp."""
import array
import pathlib
import random
import struct
import sys

ALIGN = 32
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of values, by their type
TENSOR_F32, TENSOR_F16 = 0, 1
EMBD, FF, HEADS, LAYERS = 32, 64, 2, 2


def text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key, kind, v):
    if kind == STRING:
        return text(key) + struct.pack("<I", kind) + text(v)
    if kind == ARRAY:
        return (text(key) + struct.pack("<IIQ", ARRAY, F32, len(v)) + struct.pack(f"<{len(v)}f", *v))
    return text(key) + struct.pack("<I", kind) + struct.pack({U32: "<I", F32: "<f", BOOL: "<?"}[kind], v)


def pairs_of(path, prefix):
    """The pairs of a GGUF file whose keys begin so, as bytes."""
    data = path.read_bytes()
    at = 24

    def string():
        nonlocal at
        (n,) = struct.unpack_from("<Q", data, at)
        at += 8 + n
        return data[at - n:at].decode()

    def skip(kind):
        nonlocal at
        if kind == STRING:
            string()
        elif kind == ARRAY:
            inner, count = struct.unpack_from("<IQ", data, at)
            at += 12
            if inner == STRING:
                for _ in range(count):
                    string()
            else:
                at += SIZES[inner] * count
        else:
            at += SIZES[kind]

    found = []
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        begin, key = at, string()
        at += 4
        skip(struct.unpack_from("<I", data, at - 4)[0])
        if key.startswith(prefix):
            found.append(data[begin:at])
    return found


class File:
    """A GGUF file while it is made."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pairs, self.tensors = [], []

    def put(self, key, kind, v):
        self.pairs.append(pair(key, kind, v))

    def tensor(self, name, shape, spread, half=False, middle=0.0):
        """A tensor of numbers around the middle; the first dimension of the shape runs fastest."""
        count = 1
        for n in shape:
            count *= n
        values = [middle + spread * (sum(self.random.random() for _ in range(4)) - 2) * 1.73
                  for _ in range(count)]
        data = struct.pack(f"<{count}{'e' if half else 'f'}", *values)
        self.tensors.append((name, shape, TENSOR_F16 if half else TENSOR_F32, data))

    def table(self, name, shape):
        """A large tensor of halves between 0.06 and 0.12, of either sign."""
        values = array.array("H", self.random.randbytes(2 * shape[0] * shape[1]))
        data = array.array("H", (v & 0x83FF | 0x2C00 for v in values)).tobytes()
        self.tensors.append((name, shape, TENSOR_F16, data))

    def write(self, path):
        infos, bodies, at = b"", b"", 0
        for name, shape, kind, data in self.tensors:
            infos += text(name) + struct.pack("<I", len(shape))
            infos += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, at)
            pad = -len(data) % ALIGN
            bodies += data + bytes(pad)
            at += len(data) + pad
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.pairs))
        head += b"".join(self.pairs) + infos
        path.write_bytes(head + bytes(-len(head) % ALIGN) + bodies)


def encoder(f, kind, projection):
    """The metadata and layers that all encoders have; kind: "vision" or "audio"."""
    prefix = kind[0]
    for key, value in (("embedding_length", EMBD), ("feed_forward_length", FF), ("block_count", LAYERS),
                       ("projection_dim", projection), ("attention.head_count", HEADS)):
        f.put(f"clip.{kind}.{key}", U32, value)
    f.put(f"clip.{kind}.attention.layer_norm_epsilon", F32, 1e-5)
    for i in range(LAYERS):
        for name in ("ln1", "ln2"):
            f.tensor(f"{prefix}.blk.{i}.{name}.weight", (EMBD,), 0.1, middle=1.0)
            f.tensor(f"{prefix}.blk.{i}.{name}.bias", (EMBD,), 0.1)
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            f.tensor(f"{prefix}.blk.{i}.{name}.weight", (EMBD, EMBD), 0.3)
            if name != "attn_k":
                f.tensor(f"{prefix}.blk.{i}.{name}.bias", (EMBD,), 0.1)
        f.tensor(f"{prefix}.blk.{i}.ffn_up.weight", (EMBD, FF), 0.3)
        f.tensor(f"{prefix}.blk.{i}.ffn_down.weight", (FF, EMBD), 0.2)


def head(f, *kinds):
    f.put("general.architecture", STRING, "clip")
    f.put("general.type", STRING, "mmproj")
    f.put("general.file_type", U32, 0)
    for kind in ("vision", "audio"):
        f.put(f"clip.has_{kind}_encoder", BOOL, kind in kinds)
    f.put("clip.use_gelu", BOOL, True)


def vision(f, size, patch, projection):
    f.put("clip.vision.image_size", U32, size)
    f.put("clip.vision.patch_size", U32, patch)
    f.put("clip.vision.image_mean", ARRAY, [0.5] * 3)
    f.put("clip.vision.image_std", ARRAY, [0.5] * 3)
    encoder(f, "vision", projection)
    f.tensor("v.patch_embd.weight", (patch, patch, 3, EMBD), 0.08, half=True)
    f.tensor("v.position_embd.weight", (EMBD, (size // patch) ** 2), 0.3)


def llava_parts(f, width):
    vision(f, 56, 14, width)
    f.tensor("mm.0.weight", (EMBD, FF), 0.3)
    f.tensor("mm.0.bias", (FF,), 0.1)
    f.tensor("mm.2.weight", (FF, width), 0.1)
    f.tensor("mm.2.bias", (width,), 0.05)


def ultravox_parts(f, width):
    stack = 10
    f.put("clip.audio.num_mel_bins", U32, 80)
    f.put("clip.audio.projector.stack_factor", U32, stack)
    encoder(f, "audio", width)
    f.tensor("a.conv1d.1.weight", (3, 80, EMBD), 0.1, half=True)
    f.tensor("a.conv1d.1.bias", (1, EMBD), 0.1)
    f.tensor("a.conv1d.2.weight", (3, EMBD, EMBD), 0.2, half=True)
    f.tensor("a.conv1d.2.bias", (1, EMBD), 0.1)
    f.tensor("a.position_embd.weight", (EMBD, 1500), 0.1)
    f.tensor("a.post_ln.weight", (EMBD,), 0.1, middle=1.0)
    f.tensor("a.post_ln.bias", (EMBD,), 0.1)
    f.tensor("mm.a.norm_pre.weight", (EMBD * stack,), 0.1, middle=1.0)
    f.tensor("mm.a.mlp.1.weight", (EMBD * stack, 2 * FF), 0.1)
    f.tensor("mm.a.norm_mid.weight", (FF,), 0.1, middle=1.0)
    f.tensor("mm.a.mlp.2.weight", (FF, width), 0.1)


def llava(width):
    f = File(1)
    head(f, "vision")
    f.put("clip.projector_type", STRING, "mlp")
    llava_parts(f, width)
    return f


def gemma3(width):
    f = File(2)
    head(f, "vision")
    f.put("clip.projector_type", STRING, "gemma3")
    f.put("clip.vision.projector.scale_factor", U32, 2)
    vision(f, 64, 16, width)
    f.tensor("v.post_ln.weight", (EMBD,), 0.1, middle=1.0)
    f.tensor("v.post_ln.bias", (EMBD,), 0.1)
    f.tensor("mm.soft_emb_norm.weight", (EMBD,), 0.1, middle=1.0)
    f.tensor("mm.input_projection.weight", (width, EMBD), 0.1)
    return f


def ultravox(width):
    f = File(3)
    head(f, "audio")
    f.put("clip.projector_type", STRING, "ultravox")
    ultravox_parts(f, width)
    return f


def mixed(width):
    f = File(4)
    head(f, "vision", "audio")
    f.put("clip.vision.projector_type", STRING, "mlp")
    f.put("clip.audio.projector_type", STRING, "ultravox")
    llava_parts(f, width)
    ultravox_parts(f, width)
    return f


QWEN_EMBD, QWEN_HEADS, VOCABULARY = 64, 4, 49152


def qwen2vl():
    f = File(5)
    head(f, "vision")
    f.put("clip.projector_type", STRING, "qwen2vl_merger")
    vision(f, 56, 14, QWEN_EMBD)
    f.tensor("v.patch_embd.weight.1", (14, 14, 3, EMBD), 0.08, half=True)
    for i in range(LAYERS):
        f.tensor(f"v.blk.{i}.attn_k.bias", (EMBD,), 0.1)
    f.tensor("v.post_ln.weight", (EMBD,), 0.1, middle=1.0)
    f.tensor("v.post_ln.bias", (EMBD,), 0.1)
    f.tensor("mm.0.weight", (4 * EMBD, FF), 0.1)
    f.tensor("mm.0.bias", (FF,), 0.1)
    f.tensor("mm.2.weight", (FF, QWEN_EMBD), 0.1)
    f.tensor("mm.2.bias", (QWEN_EMBD,), 0.05)
    return f


def qwen2vl_text(tokenizer):
    f = File(6)
    f.put("general.architecture", STRING, "qwen2vl")
    f.put("general.file_type", U32, 1)
    for key, value in (("block_count", 2), ("context_length", 4096), ("embedding_length", QWEN_EMBD),
                       ("feed_forward_length", 2 * QWEN_EMBD), ("attention.head_count", QWEN_HEADS),
                       ("attention.head_count_kv", QWEN_HEADS)):
        f.put(f"qwen2vl.{key}", U32, value)
    f.put("qwen2vl.attention.layer_norm_rms_epsilon", F32, 1e-6)
    f.put("qwen2vl.rope.freq_base", F32, 100.0)
    f.pairs.append(text("qwen2vl.rope.dimension_sections") + struct.pack("<IIQ4i", ARRAY, I32, 4, 2, 3, 3, 0))
    f.pairs += pairs_of(tokenizer, "tokenizer.")
    f.table("token_embd.weight", (QWEN_EMBD, VOCABULARY))
    f.tensor("output_norm.weight", (QWEN_EMBD,), 0.1, middle=1.0)
    for i in range(2):
        for name in ("attn_norm", "ffn_norm"):
            f.tensor(f"blk.{i}.{name}.weight", (QWEN_EMBD,), 0.1, middle=1.0)
        for name in ("attn_q", "attn_k", "attn_v"):
            f.tensor(f"blk.{i}.{name}.weight", (QWEN_EMBD, QWEN_EMBD), 0.3)
            f.tensor(f"blk.{i}.{name}.bias", (QWEN_EMBD,), 0.1)
        f.tensor(f"blk.{i}.attn_output.weight", (QWEN_EMBD, QWEN_EMBD), 0.3)
        for name in ("ffn_gate", "ffn_up"):
            f.tensor(f"blk.{i}.{name}.weight", (QWEN_EMBD, 2 * QWEN_EMBD), 0.2)
        f.tensor(f"blk.{i}.ffn_down.weight", (2 * QWEN_EMBD, QWEN_EMBD), 0.2)
    return f


def write_all(folder, width=576, tokenizer=None):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for make in (llava, gemma3, ultravox, mixed):
        make(width).write(folder / f"{make.__name__}.gguf")
    if tokenizer:
        qwen2vl().write(folder / "qwen2vl.gguf")
        qwen2vl_text(pathlib.Path(tokenizer)).write(folder / "qwen2vl-text.gguf")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    write_all(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 576, *sys.argv[3:])
