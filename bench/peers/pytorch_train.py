#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Times one fine-tuning step of a DistilBERT-like model in plain PyTorch (1.13): forward, loss, backward, clipping, AdamW.

usage: pytorch_train.py [--config NAME] [--batch B] [--length L] [--threads T] [--steps N] [--linear blas|onednn]
                        [--adamw loop|foreach]

Prints one JSON line. Every sequence has L tokens, so there is neither padding nor a mask. As fast as plain PyTorch goes:
query, key and value are one product, gradients are set to None and not zeroed, the optimizer updates all parameters with
the foreach functions; --linear onednn gives the linear layers to oneDNN instead of the BLAS. bench/peers/pytorch_train.sh
finds out which choice is the fastest.
"""
import argparse
import json
import math
import resource
import time

import torch
from torch import nn
from torch.nn import functional as F

CONFIGS = {  # hidden, layers, heads, intermediate
    "distilbert-base": (768, 6, 12, 3072), "bert-base": (768, 12, 12, 3072), "bert-small": (512, 4, 8, 2048),
    "bert-mini": (256, 4, 4, 1024), "bert-tiny": (128, 2, 2, 512)}
VOCAB, POSITIONS, DROPOUT = 30522, 512, 0.1


class Linear(nn.Linear):
    def forward(self, x):
        if not Linear.onednn:
            return F.linear(x, self.weight, self.bias)
        return F.linear(x.to_mkldnn(), self.weight, self.bias).to_dense()


class Layer(nn.Module):
    def __init__(self, hidden, heads, inner):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = Linear(hidden, 3 * hidden), Linear(hidden, hidden)
        self.ffn_in, self.ffn_out = Linear(hidden, inner), Linear(inner, hidden)
        self.attention_norm, self.ffn_norm = nn.LayerNorm(hidden, eps=1e-12), nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, x):
        batch, length, hidden = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = torch.matmul(q * (1 / math.sqrt(hidden // self.heads)), k.transpose(2, 3))
        weights = F.dropout(torch.softmax(scores, dim=3), DROPOUT)
        context = torch.matmul(weights, v).transpose(1, 2).reshape(batch, length, hidden)
        x = self.attention_norm(x + self.out(context))
        return self.ffn_norm(x + F.dropout(self.ffn_out(F.gelu(self.ffn_in(x))), DROPOUT))


class Model(nn.Module):
    def __init__(self, hidden, layers, heads, inner):
        super().__init__()
        self.word, self.position = nn.Embedding(VOCAB, hidden), nn.Embedding(POSITIONS, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.layers = nn.ModuleList(Layer(hidden, heads, inner) for _ in range(layers))
        self.head = nn.Linear(hidden, 2)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids, targets):
        x = F.dropout(self.norm(self.word(ids) + self.position.weight[:ids.shape[1]]), DROPOUT)
        for layer in self.layers:
            x = layer(x)
        start, end = self.head(F.dropout(x, DROPOUT)).unbind(2)
        return (F.cross_entropy(start, targets[:, 0]) + F.cross_entropy(end, targets[:, 1])) / 2


def make_optimizer(model, adamw):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-5, foreach=adamw == "foreach")


def time_step(model, optimizer, ids, targets):
    marks = [time.perf_counter()]
    optimizer.zero_grad(set_to_none=True)
    loss = model(ids, targets)
    marks.append(time.perf_counter())
    loss.backward()
    marks.append(time.perf_counter())
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    marks.append(time.perf_counter())
    assert math.isfinite(loss.item())
    return [1e3 * (marks[i + 1] - marks[i]) for i in range(3)] + [1e3 * (marks[3] - marks[0])]


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", choices=CONFIGS, default="distilbert-base")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--linear", choices=("blas", "onednn"), default="blas")
    parser.add_argument("--adamw", choices=("loop", "foreach"), default="foreach")
    options = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    Linear.onednn = options.linear == "onednn"
    model = Model(*CONFIGS[options.config])
    optimizer = make_optimizer(model, options.adamw)
    ids = torch.randint(VOCAB, (options.batch, options.length))
    targets = torch.randint(options.length, (options.batch, 2))
    time_step(model, optimizer, ids, targets)
    times = [time_step(model, optimizer, ids, targets) for _ in range(options.steps)]
    forward, backward, update, step = (median(column) for column in zip(*times))
    print(json.dumps({
        "engine": "pytorch " + torch.__version__, "config": options.config, "batch": options.batch,
        "length": options.length, "threads": options.threads, "linear": options.linear, "adamw": options.adamw,
        "steps": options.steps, "forward_ms": round(forward, 2), "backward_ms": round(backward, 2),
        "update_ms": round(update, 2), "median_ms": round(step, 2), "min_ms": round(min(t[3] for t in times), 2),
        "tokens_per_s": round(1e3 * options.batch * options.length / step),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}))


main()
