#!/usr/bin/env python3
"""usage: convert.py MODEL.gguf FOLDER

The weights of a GGUF for other engines: FOLDER/float (as floats, for what converts further, such as
`optimum-cli export openvino --weight-format int8`), and FOLDER/w8a8 for vLLM: int8 with a scale for
each output, rows quantised when they are computed. Needs: pip install torch transformers accelerate
gguf safetensors; tried with transformers 4.57 (5 takes the tokenizer for another kind)."""
import json
import pathlib
import shutil
import sys

import torch
from common import END_OF_TURN
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

INT8 = {"num_bits": 8, "type": "int", "symmetric": True, "group_size": None,
        "block_structure": None, "actorder": None}


def to_floats(gguf, folder):
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    tokenizer.eos_token = END_OF_TURN  # what a GGUF says of it is not always understood
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.hf_quantizer, model.is_quantized = None, False
    for name in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, name):
            delattr(model.config, name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def to_w8a8(source, folder):
    folder.mkdir(exist_ok=True)
    tensors = {}
    for name, weight in load_file(source / "model.safetensors").items():
        if not name.endswith("_proj.weight"):
            tensors[name] = weight.to(torch.bfloat16)
            continue
        scale = weight.float().abs().amax(1, keepdim=True) / 127
        tensors[name] = (weight.float() / scale).round().clamp(-127, 127).to(torch.int8)
        tensors[name.removesuffix("weight") + "weight_scale"] = scale.to(torch.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for file in source.iterdir():
        if file.suffix in (".json", ".jinja") and file.name != "config.json":
            shutil.copy(file, folder)
    config = json.loads((source / "config.json").read_text())
    config["dtype"] = "bfloat16"
    config["quantization_config"] = {
        "quant_method": "compressed-tensors", "format": "int-quantized",
        "quantization_status": "compressed", "global_compression_ratio": None,
        "kv_cache_scheme": None, "ignore": ["lm_head"],
        "config_groups": {"group_0": {
            "targets": ["Linear"], "output_activations": None,
            "weights": {**INT8, "strategy": "channel", "dynamic": False, "observer": "minmax"},
            "input_activations": {**INT8, "strategy": "token", "dynamic": True, "observer": None},
        }},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[2])
    to_floats(pathlib.Path(sys.argv[1]).resolve(), folder / "float")
    to_w8a8(folder / "float", folder / "w8a8")


if __name__ == "__main__":
    main()
