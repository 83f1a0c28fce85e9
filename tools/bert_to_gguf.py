#!/usr/bin/env python3
"""usage: bert_to_gguf.py FOLDER OUTPUT.gguf

Converts a BERT-like embedding model from a folder as sentence-transformers keeps it (config.json,
sentence_bert_config.json, 1_Pooling/config.json, vocab.txt, model.safetensors) to the GGUF that
llama.cpp reads as architecture "bert". Matrices become half precision; norms, biases and the tables of
positions and token types stay floats.

The model's limit of pieces is the number of positions in the file: later rows of the table are left out.
Needs nothing but Python's standard library. Sources: ggml/docs/gguf.md and src/models/bert.cpp of llama.cpp;
the README of safetensors."""
import json
import pathlib
import struct
import sys

ALIGN = 32
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # types of values
TENSOR_F32, TENSOR_F16 = 0, 1
FILE_F16 = 1
NORMAL, CONTROL = 1, 3  # types of tokens
ROWS_AT_ONCE = 1024

POOLING = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2}

# Tensors of a layer: the name in the checkpoint, and in GGUF.
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, v):
    if kind == STRING:
        return text(v)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], v)


def pair(key, kind, v):
    return text(key) + struct.pack("<I", kind) + value(kind, v)


def array(key, kind, items):
    return (text(key) + struct.pack("<IIQ", ARRAY, kind, len(items)) +
            b"".join(value(kind, v) for v in items))


def metadata(folder, config, pieces):
    """The pairs of the file, one bytes object each."""
    pooling = json.loads((folder / "1_Pooling/config.json").read_text())
    vocab = (folder / "vocab.txt").read_text().split("\n")
    vocab = vocab[:-1] if not vocab[-1] else vocab
    special = {name: vocab.index(name) for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")}
    is_control = {v for v in special.values()}
    return [
        pair("general.architecture", STRING, "bert"),
        pair("general.file_type", U32, FILE_F16),
        pair("bert.context_length", U32, pieces),
        pair("bert.embedding_length", U32, config["hidden_size"]),
        pair("bert.feed_forward_length", U32, config["intermediate_size"]),
        pair("bert.block_count", U32, config["num_hidden_layers"]),
        pair("bert.attention.head_count", U32, config["num_attention_heads"]),
        pair("bert.attention.layer_norm_epsilon", F32, config["layer_norm_eps"]),
        pair("bert.attention.causal", BOOL, False),
        pair("bert.pooling_type", U32, next(n for name, n in POOLING.items() if pooling.get(name))),
        pair("tokenizer.ggml.model", STRING, "bert"),
        pair("tokenizer.ggml.token_type_count", U32, config["type_vocab_size"]),
        # The beginning of a word is marked instead of its other pieces.
        array("tokenizer.ggml.tokens", STRING, [
            v if i in is_control else v[2:] if v.startswith("##") else "\u2581" + v for i, v in enumerate(vocab)]),
        array("tokenizer.ggml.token_type", I32, [
            CONTROL if i in is_control else NORMAL for i in range(len(vocab))]),
        pair("tokenizer.ggml.bos_token_id", U32, special["[CLS]"]),
        pair("tokenizer.ggml.cls_token_id", U32, special["[CLS]"]),
        pair("tokenizer.ggml.seperator_token_id", U32, special["[SEP]"]),  # spelt so by llama.cpp
        pair("tokenizer.ggml.unknown_token_id", U32, special["[UNK]"]),
        pair("tokenizer.ggml.padding_token_id", U32, special["[PAD]"]),
        pair("tokenizer.ggml.mask_token_id", U32, special["[MASK]"]),
    ]


def names(layers):
    """The checkpoint's names and those in GGUF, in the order of the file."""
    yield "embeddings.word_embeddings.weight", "token_embd.weight"
    yield "embeddings.token_type_embeddings.weight", "token_types.weight"
    yield "embeddings.position_embeddings.weight", "position_embd.weight"
    for part in ("weight", "bias"):
        yield f"embeddings.LayerNorm.{part}", f"token_embd_norm.{part}"
    for i in range(layers):
        for theirs, ours in LAYER.items():
            for part in ("weight", "bias"):
                yield f"encoder.layer.{i}.{theirs}.{part}", f"blk.{i}.{ours}.{part}"


class Tensor:
    """One tensor of the checkpoint, and its shape and type in the file."""

    def __init__(self, source, base, entry, name, rows_max):
        if entry["dtype"] != "F32":
            sys.exit(f"{name}: the type is {entry['dtype']}, not F32")
        self.source, self.name, self.shape = source, name, list(entry["shape"])
        self.at = base + entry["data_offsets"][0]
        if name == "position_embd.weight":
            self.shape[0] = min(self.shape[0], rows_max)
        is_matrix = len(self.shape) == 2 and name not in ("position_embd.weight", "token_types.weight")
        self.type, self.size = (TENSOR_F16, 2) if is_matrix else (TENSOR_F32, 4)
        self.count = self.shape[0] * (self.shape[1] if len(self.shape) == 2 else 1)

    def padded(self):
        return -(-self.count * self.size // ALIGN) * ALIGN

    def describe(self, offset):
        dims = self.shape[::-1]
        return (text(self.name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims) +
                struct.pack("<IQ", self.type, offset))

    def write(self, out):
        self.source.seek(self.at)
        step = ROWS_AT_ONCE * self.shape[-1]
        for begin in range(0, self.count, step):
            n = min(step, self.count - begin)
            raw = self.source.read(4 * n)
            if self.type == TENSOR_F16:
                raw = struct.pack(f"<{n}e", *struct.unpack(f"<{n}f", raw))
            out.write(raw)
        out.write(bytes(self.padded() - self.count * self.size))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    config = json.loads((folder / "config.json").read_text())
    pieces = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    pieces = min(pieces, config["max_position_embeddings"])
    with open(folder / "model.safetensors", "rb") as source, open(sys.argv[2], "wb") as out:
        head = struct.unpack("<Q", source.read(8))[0]
        entries = json.loads(source.read(head))
        tensors = [Tensor(source, 8 + head, entries[theirs], ours, pieces)
                   for theirs, ours in names(config["num_hidden_layers"])]
        pairs = metadata(folder, config, pieces)
        out.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs))
        offset = 0
        for t in tensors:
            out.write(t.describe(offset))
            offset += t.padded()
        out.write(bytes(-out.tell() % ALIGN))
        for t in tensors:
            t.write(out)


main()
