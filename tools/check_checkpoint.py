#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a checkpoint directory with nothing but NumPy, as a second opinion on what Espalier writes.

usage: check_checkpoint.py DIR [ORIGINAL]

Checks the layout of DIR/model.safetensors (alignment, order, no gap, metadata). With ORIGINAL: every tensor of DIR has
the values of ORIGINAL's (F16 and BF16 widened), none that ORIGINAL's encoder or head has is lost, every field of
ORIGINAL/config.json is kept, and the tokenizer files are the same. Exit code 0: all well; 1: a difference, which is printed.
"""
import json
import pathlib
import struct
import sys

import numpy as np

FREE_FIELDS = {"torch_dtype", "dtype"}
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json", "added_tokens.json"]
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
DECODERS = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "vocab_projector.weight",
            "lm_head.decoder.weight", "lm_head.decoder.bias")


def fail(message):
    print(message)
    sys.exit(1)


def values(raw, dtype, shape):
    if dtype == "F32":
        array = np.frombuffer(raw, "<f4")
    elif dtype == "F16":
        array = np.frombuffer(raw, "<f2").astype("<f4")
    elif dtype == "BF16":
        array = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    else:
        return None
    return array.reshape(shape)


def read_file(path, strict):
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    data = raw[8 + length :]
    metadata = header.pop("__metadata__", None)
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        if begin != end:
            fail(f"{path}: {name}: begins at {begin}, the one before ends at {end}")
        end = stop
    if end != len(data):
        fail(f"{path}: {len(data) - end} bytes behind the last tensor")
    if strict:
        offsets = [entry["data_offsets"] for entry in header.values()]
        if offsets != sorted(offsets):
            fail(f"{path}: header is not in the order of the data")
        if (8 + length) % 8 or metadata != {"format": "pt"} or raw[8:9] != b"{":
            fail(f"{path}: header of {length} bytes, metadata {metadata}")
        if {entry["dtype"] for entry in header.values()} != {"F32"}:
            fail(f"{path}: a tensor is not F32")
    return {
        name: values(data[entry["data_offsets"][0] : entry["data_offsets"][1]], entry["dtype"], entry["shape"])
        for name, entry in header.items()
    }


def read_tensors(directory, strict=False):
    index = directory / "model.safetensors.index.json"
    files = ["model.safetensors"]
    if not (directory / files[0]).exists() and index.exists():
        files = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    tensors = {}
    for name in files:
        tensors.update(read_file(directory / name, strict))
    return tensors


def plain_name(name):
    for prefix in ("bert.", "distilbert.", "roberta.", "electra.", "albert.", "mpnet."):
        if name.startswith(prefix):
            name = name[len(prefix) :]
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def compare_tensors(tensors, original):
    wanted = {plain_name(name): array for name, array in original.items()}
    found = {plain_name(name): array for name, array in tensors.items()}
    for name, array in found.items():
        if name not in wanted:
            fail(f"{name}: not in the original")
        other = wanted.pop(name)
        if array.shape != other.shape or array.tobytes() != other.tobytes():
            fail(f"{name}: differs from the original")
    for name in wanted:
        beside_head = name.startswith("pooler.") and "roberta." + name in original  # no head of RoBERTa reads it
        if name not in BUFFERS and name not in DECODERS and not beside_head:
            fail(f"{name}: lost")


def compare_files(directory, original):
    config = json.loads((directory / "config.json").read_text())
    for key, value in json.loads((original / "config.json").read_text()).items():
        if key not in FREE_FIELDS and (key not in config or config[key] != value):
            fail(f"config.json: {key}: {value} became {config.get(key)}")
    if "float32" not in (config.get("torch_dtype"), config.get("dtype")):
        fail("config.json: torch_dtype is not float32")
    for name in TOKENIZER_FILES:
        if (original / name).exists() and (directory / name).read_bytes() != (original / name).read_bytes():
            fail(f"{name}: differs from the original")


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__)
        sys.exit(2)
    directory = pathlib.Path(sys.argv[1])
    tensors = read_tensors(directory, strict=True)
    if len(sys.argv) == 3:
        original = pathlib.Path(sys.argv[2])
        compare_tensors(tensors, read_tensors(original))
        compare_files(directory, original)
    print(f"{len(tensors)} tensors, {sum(array.size for array in tensors.values())} values")


if __name__ == "__main__":
    main()
