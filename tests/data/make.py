# SPDX-License-Identifier: Apache-2.0
"""Makes the reference data that ships with the project from the whole of it: python3 tests/data/make.py ../shared

A model keeps its layers, the short cases, and of its vocabulary and positions what these use; ids are renumbered in
order. A tokenizer keeps some of its cases, and the tokens that stand in them. Needs NumPy."""
import glob
import json
import os
import shutil
import struct
import sys

import numpy

SHARED = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = ("minilm-tiny-encoder", "roberta-tiny-qa", "roberta-tiny-seqcls")
CASES = 4  # the first ones are the short ones
LONGEST = 40
TOKENIZERS = ("uncased", "cased")
KEPT = {"strings": 5, "pairs": 5, "qa-overflow": 10, "fuzz": 40}  # every n-th case
ROLES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FIRST = [token.encode() for token in ROLES]


def read_tensors(path):
    with open(path, "rb") as stream:
        size, = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(size))
        data = stream.read()
    header.pop("__metadata__", None)
    return {name: numpy.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
            for name, entry in header.items() if entry["dtype"] == "F32"}


def write_tensors(path, tensors):
    header, end = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [end, end + values.nbytes]}
        end += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            stream.write(values.tobytes())


def make_model(name):
    source, target = (os.path.join(root, "reference", "models", name) for root in (SHARED, HERE))
    with open(os.path.join(source, "config.json"), encoding="utf-8") as stream:
        config = json.load(stream)
    cases = sorted(glob.glob(os.path.join(source, "reference", "case*")))[:CASES]
    used = {id for case in cases for id in numpy.load(os.path.join(case, "input_ids.npy")).ravel().tolist()}
    kept = sorted(used | set(range(5)))
    if os.path.exists(os.path.join(source, "vocab.txt")):
        with open(os.path.join(source, "vocab.txt"), "rb") as stream:
            vocabulary = stream.read().split(b"\n")
        kept = sorted(used | {vocabulary.index(token) for token in FIRST})
    number = {id: new for new, id in enumerate(kept)}

    tensors = {}
    for tensor, values in read_tensors(os.path.join(source, "model.safetensors")).items():
        if "word_embeddings" in tensor:
            values = values[kept]
        elif "position_embeddings" in tensor:
            values = values[:LONGEST]
        tensors[tensor] = values
    for case in cases:
        folder = os.path.join(target, "reference", os.path.basename(case))
        os.makedirs(folder)
        for file in sorted(os.listdir(case)):
            values = numpy.load(os.path.join(case, file))
            if file == "input_ids.npy":
                values = numpy.vectorize(number.get)(values).astype("<i4")
            numpy.save(os.path.join(folder, file), values)
    for file in ("modules.json", "sentence_bert_config.json", "tokenizer_config.json"):
        if os.path.exists(os.path.join(source, file)):
            shutil.copyfile(os.path.join(source, file), os.path.join(target, file))
    if os.path.isdir(os.path.join(source, "1_Pooling")):
        shutil.copytree(os.path.join(source, "1_Pooling"), os.path.join(target, "1_Pooling"))
    if os.path.exists(os.path.join(source, "vocab.txt")):
        with open(os.path.join(target, "vocab.txt"), "wb") as stream:
            stream.write(b"".join(vocabulary[id] + b"\n" for id in kept))
    config.update(vocab_size=len(kept), max_position_embeddings=LONGEST)
    with open(os.path.join(target, "config.json"), "w", encoding="utf-8") as stream:
        json.dump(config, stream, indent=2)
        stream.write("\n")
    write_tensors(os.path.join(target, "model.safetensors"), tensors)


def read_cases(kind):
    cases = {}
    for group, every in KEPT.items():
        path = os.path.join(SHARED, "reference", "tokenizer", f"{group}-{kind}.jsonl")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                cases[group] = [json.loads(line) for line in list(stream)[::every]]
    return cases


def make_tokenizer(kind):
    folder = os.path.join(HERE, "reference", "tokenizer")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(SHARED, "reference", "tokenizer", f"tokenizer-{kind}.json"), encoding="utf-8") as stream:
        document = json.load(stream)
    token_of = {id: token for token, id in document["model"]["vocab"].items()}
    cases = read_cases(kind)
    used = {id for group in cases.values() for case in group for window in [case, *case.get("overflow", [])]
            for id in window["ids"]}
    kept = sorted(used | {document["model"]["vocab"][token] for token in ROLES})
    number = {id: new for new, id in enumerate(kept)}
    document["model"]["vocab"] = {token_of[id]: number[id] for id in kept}
    for token in document["added_tokens"]:
        token["id"] = number[token["id"]]
    for token in document["post_processor"]["special_tokens"].values():
        token["ids"] = [number[id] for id in token["ids"]]
    with open(os.path.join(folder, f"tokenizer-{kind}.json"), "w", encoding="utf-8") as stream:
        json.dump(document, stream, ensure_ascii=False, separators=(",", ":"))
    for group, lines in cases.items():
        with open(os.path.join(folder, f"{group}-{kind}.jsonl"), "w", encoding="utf-8") as stream:
            for case in lines:
                for window in [case, *case.get("overflow", [])]:
                    window["ids"] = [number[id] for id in window["ids"]]
                stream.write(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n")
    if kind == "uncased":
        os.makedirs(os.path.join(HERE, "data", "vocab"))
        with open(os.path.join(HERE, "data", "vocab", "bert-base-uncased-vocab.txt"), "w", encoding="utf-8") as stream:
            stream.write("".join(token_of[id] + "\n" for id in kept))


for old in ("reference", "data"):
    shutil.rmtree(os.path.join(HERE, old), ignore_errors=True)
for model in MODELS:
    make_model(model)
for tokenizer in TOKENIZERS:
    make_tokenizer(tokenizer)
