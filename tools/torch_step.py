#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reference numbers of training steps, computed by PyTorch (made with 1.13).

usage: torch_step.py DIR

Writes DIR/NAME.json and DIR/NAME.safetensors for a few small models with seeded random weights: config, batch and targets;
loss of every step; weights before ("before."), gradients of the first step ("gradient."), weights after the last ("after.").
The models are written here with torch.nn as their papers and the names of their published checkpoints define them; there
is no dropout. Each sequence runs by itself, so that nothing depends on padding. Steps: AdamW (no decay of biases and
LayerNorms), gradients clipped by global norm, a rate that falls from step to step.
tests/unit/test_torch_step.c reads the files.
"""
import json
import math
import pathlib
import struct
import sys

import torch
from torch import nn
from torch.nn import functional as F

STEPS = {"learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.98, "epsilon": 1e-5, "weight_decay": 0.1, "max_norm": 1.0,
         "factors": [1.0, 0.75, 0.5]}
LENGTHS = [5, 12, 1, 9]
VOCAB, POSITIONS, LABELS = 30, 12, 3

COMMON = {"vocab_size": VOCAB, "max_position_embeddings": POSITIONS, "id2label": {str(i): f"l{i}" for i in range(LABELS)}}
DISTILBERT = {"model_type": "distilbert", "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "dropout": 0.0,
              "attention_dropout": 0.0, "qa_dropout": 0.0, "seq_classif_dropout": 0.0, **COMMON}
BERT = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 20,
        "type_vocab_size": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, **COMMON}
MODELS = {
    "distilbert-qa": (DISTILBERT, "DistilBertForQuestionAnswering"),
    "distilbert-sequence": (DISTILBERT, "DistilBertForSequenceClassification"),
    "bert-sequence": (BERT, "BertForSequenceClassification"),
    "bert-masked": ({**BERT, "num_hidden_layers": 1, "hidden_act": "gelu_new"}, "BertForMaskedLM"),
}


def gelu_new(x):
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x ** 3)))


class Tree(nn.Module):
    """A module that makes its children by dotted name."""

    def place(self, name, module):
        first, _, rest = name.partition(".")
        if not rest:
            self.add_module(first, module)
            return
        if first not in self._modules:
            self.add_module(first, Tree())
        self._modules[first].place(rest, module)

    def at(self, name):
        module = self
        for part in name.split("."):
            module = module._modules[part]
        return module


class Encoder(Tree):
    """DistilBERT and BERT differ in names, token types and the pooler."""

    def __init__(self, config, kind):
        super().__init__()
        self.is_bert = config["model_type"] == "bert"
        self.kind = kind
        pick = (lambda bert, distilbert: bert) if self.is_bert else (lambda bert, distilbert: distilbert)
        self.hidden = config[pick("hidden_size", "dim")]
        self.layers = config[pick("num_hidden_layers", "n_layers")]
        self.heads = config[pick("num_attention_heads", "n_heads")]
        inner = config[pick("intermediate_size", "hidden_dim")]
        self.activation = gelu_new if config.get("hidden_act") == "gelu_new" else F.gelu
        self.prefix = pick("bert.", "distilbert.")
        self.layer_prefix = pick("bert.encoder.layer.", "distilbert.transformer.layer.")
        self.names = {
            "query": pick("attention.self.query", "attention.q_lin"), "key": pick("attention.self.key", "attention.k_lin"),
            "value": pick("attention.self.value", "attention.v_lin"),
            "out": pick("attention.output.dense", "attention.out_lin"),
            "attention_norm": pick("attention.output.LayerNorm", "sa_layer_norm"),
            "ffn_in": pick("intermediate.dense", "ffn.lin1"), "ffn_out": pick("output.dense", "ffn.lin2"),
            "ffn_norm": pick("output.LayerNorm", "output_layer_norm")}
        hidden = self.hidden
        self.place(self.prefix + "embeddings.word_embeddings", nn.Embedding(VOCAB, hidden))
        self.place(self.prefix + "embeddings.position_embeddings", nn.Embedding(POSITIONS, hidden))
        if self.is_bert:
            self.place(self.prefix + "embeddings.token_type_embeddings", nn.Embedding(2, hidden))
        self.place(self.prefix + "embeddings.LayerNorm", nn.LayerNorm(hidden, eps=1e-12))
        for layer in range(self.layers):
            for part, name in self.names.items():
                shape = {"ffn_in": (hidden, inner), "ffn_out": (inner, hidden)}.get(part, (hidden, hidden))
                module = nn.LayerNorm(hidden, eps=1e-12) if part.endswith("norm") else nn.Linear(*shape)
                self.place(f"{self.layer_prefix}{layer}.{name}", module)
        self.make_head()

    def make_head(self):
        hidden = self.hidden
        if self.kind == "sequence":
            self.place("bert.pooler.dense" if self.is_bert else "pre_classifier", nn.Linear(hidden, hidden))
            self.place("classifier", nn.Linear(hidden, LABELS))
        elif self.kind == "qa":
            self.place("qa_outputs", nn.Linear(hidden, 2))
        else:
            self.place("cls.predictions.transform.dense", nn.Linear(hidden, hidden))
            self.place("cls.predictions.transform.LayerNorm", nn.LayerNorm(hidden, eps=1e-12))
            self.at("cls.predictions").register_parameter("bias", nn.Parameter(torch.zeros(VOCAB)))

    def part(self, layer, name):
        return self.at(f"{self.layer_prefix}{layer}.{self.names[name]}")

    def encode(self, ids, types):
        embeddings = self.at(self.prefix + "embeddings")
        x = embeddings.at("word_embeddings")(ids) + embeddings.at("position_embeddings")(torch.arange(len(ids)))
        if self.is_bert:
            x = x + embeddings.at("token_type_embeddings")(types)
        x = embeddings.at("LayerNorm")(x)
        for layer in range(self.layers):
            split = lambda y: y.view(len(ids), self.heads, -1).transpose(0, 1)  # (heads, tokens, width)
            query, key, value = (split(self.part(layer, p)(x)) for p in ("query", "key", "value"))
            weights = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(self.hidden / self.heads), dim=2)
            context = (weights @ value).transpose(0, 1).reshape(len(ids), self.hidden)
            x = self.part(layer, "attention_norm")(x + self.part(layer, "out")(context))
            inner = self.activation(self.part(layer, "ffn_in")(x))
            x = self.part(layer, "ffn_norm")(x + self.part(layer, "ffn_out")(inner))
        return x

    def loss(self, ids, types, target):
        """The sum over one sequence's units."""
        x = self.encode(ids, types)
        if self.kind == "qa":
            start, end = self.at("qa_outputs")(x).unbind(1)
            return (F.cross_entropy(start[None], target[:1]) + F.cross_entropy(end[None], target[1:])) / 2
        if self.kind == "sequence":
            first = torch.tanh(self.at("bert.pooler.dense")(x[0])) if self.is_bert else F.relu(self.at("pre_classifier")(x[0]))
            return F.cross_entropy(self.at("classifier")(first)[None], target)
        rows = x[target[0]]
        rows = self.at("cls.predictions.transform.LayerNorm")(
            self.activation(self.at("cls.predictions.transform.dense")(rows)))
        words = self.at("bert.embeddings.word_embeddings").weight
        return F.cross_entropy(F.linear(rows, words, self.at("cls.predictions").bias), target[1], reduction="sum")


def randomize(model):
    for name, parameter in model.named_parameters():
        scale = 0.3 if parameter.dim() == 2 else 0.1
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape) * scale + (name.endswith("LayerNorm.weight") or
                                                                    name.endswith("layer_norm.weight")))


def make_batch(kind):
    ids = [torch.randint(0, VOCAB, (length,)) for length in LENGTHS]
    types = [(torch.arange(length) * 2 >= length).long() for length in LENGTHS]
    if kind == "qa":
        targets = [torch.randint(0, length, (2,)) for length in LENGTHS]
    elif kind == "sequence":
        targets = [torch.randint(0, LABELS, (1,)) for _ in LENGTHS]
    else:
        places = [torch.arange(0, length, 3) for length in LENGTHS]
        targets = [torch.stack([p, torch.randint(0, VOCAB, p.shape)]) for p in places]
    units = sum(t.shape[1] for t in targets) if kind == "masked" else len(LENGTHS)
    return ids, types, targets, units


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.detach().to(torch.float32).contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def run(directory, name, config, architecture, seed):
    torch.manual_seed(seed)
    kind = name.split("-")[1]
    model = Encoder(config, kind)
    randomize(model)
    ids, types, targets, units = make_batch(kind)
    parameters = dict(model.named_parameters())
    plain = lambda n: n.endswith("bias") or "LayerNorm" in n or "layer_norm" in n
    optimizer = torch.optim.AdamW(
        [{"params": [p for n, p in parameters.items() if not plain(n)], "weight_decay": STEPS["weight_decay"]},
         {"params": [p for n, p in parameters.items() if plain(n)], "weight_decay": 0.0}],
        lr=STEPS["learning_rate"], betas=(STEPS["beta1"], STEPS["beta2"]), eps=STEPS["epsilon"])
    tensors = {"before." + n: p.detach().clone() for n, p in parameters.items()}
    losses, norms = [], []
    for step, factor in enumerate(STEPS["factors"]):
        optimizer.zero_grad()
        loss = sum(model.loss(*sequence) for sequence in zip(ids, types, targets)) / units
        loss.backward()
        if step == 0:
            tensors.update({"gradient." + n: p.grad.clone() for n, p in parameters.items()})
        losses.append(loss.item())
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), STEPS["max_norm"])))
        for group in optimizer.param_groups:
            group["lr"] = STEPS["learning_rate"] * factor
        optimizer.step()
    tensors.update({"after." + n: p for n, p in parameters.items()})
    write_safetensors(directory / f"{name}.safetensors", tensors)
    document = {"config": {"architectures": [architecture], **config}, "steps": STEPS, "losses": losses, "norms": norms,
                "ids": [x.tolist() for x in ids], "types": [x.tolist() for x in types],
                "targets": [x.tolist() for x in targets]}
    (directory / f"{name}.json").write_text(json.dumps(document) + "\n")
    print(name, losses, norms)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for seed, (name, (config, architecture)) in enumerate(MODELS.items()):
        run(directory, name, config, architecture, seed)


main()
