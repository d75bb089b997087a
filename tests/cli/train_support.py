# SPDX-License-Identifier: Apache-2.0
"""What the tests of `train` share: small models and data for it, its results, what a run left."""
import hashlib
import json
import os
import random
import re

import support

WORDS = re.findall(r"[A-Za-z]+", support.TEXT)

# Everything that has a state of its own, so that a state which is not resumed shows; with fp32 also --qat, which needs it.
MIX = ["--task", "classify", "--batch-size", 8, "--learning-rate", 2e-3, "--warmup", 0.1,
       "--sparsity", 0.5, "--prune-every", 2, "--ema", 0.9, "--hidden-weight", 1, "--max-steps", 24,
       "--eval-every", 5, "--save-every", 3, "--log-every", 1]


def examples(count, seed, labels=("a", "b")):
    """TSV of sentences whose label is whether they have one of two words."""
    rng, rows = random.Random(seed), ["sentence\tlabel"]
    for i in range(count):
        words = [rng.choice(WORDS) for _ in range(rng.randint(3, 12))]
        if i % 2:
            words[rng.randrange(len(words))] = "Paris"
        rows.append(" ".join(words) + "\t" + (labels[1] if "Paris" in words else labels[0]))
    return "\n".join(rows) + "\n"


def computes():
    """The ways of computing products that this CPU has."""
    with open("/proc/cpuinfo", encoding="utf-8") as stream:
        return ["fp32", "bf16"] if re.search("avx512_bf16|amx_bf16", stream.read()) else ["fp32"]


def weights_of(directory):
    with open(os.path.join(directory, "model.safetensors"), "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def log_of(directory):
    """The metrics log without what depends on the clock."""
    with open(os.path.join(directory, "train.jsonl"), encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    for line in lines:
        line.pop("tokens_per_s", None)
        line.get("eval", {}).pop("seconds", None)
        line.get("eval", {}).pop("examples_per_s", None)
    return lines


def result_of(directory):
    """What has to be the same between two runs."""
    other = {}
    for name in sorted(os.listdir(directory)):
        if name not in ("model.safetensors", "train.jsonl", "train_options.json"):
            with open(os.path.join(directory, name), "rb") as stream:
                other[name] = stream.read()
    return weights_of(directory), log_of(directory), other


class TrainCase(support.Scratch):
    """Data for classification and models for it: student and a wider teacher with the same vocabulary."""

    def setUp(self):
        super().setUp()
        self.train = self.write("train.tsv", examples(60, 1))
        self.dev = self.write("dev.tsv", examples(20, 2))

    def student(self):
        return self.model("student", head="none")

    def teacher(self):
        return self.model("teacher", head="sequence", labels="a,b", hidden_size=32, num_hidden_layers=3)

    def mix(self, output, *more, compute="fp32"):
        """Arguments of a run with everything in it."""
        how = ["--compute", compute, *(["--qat"] if compute == "fp32" else [])]
        return ["train", self.path("student"), "--train", self.train, "--dev", self.dev, "--teacher",
                self.path("teacher"), *MIX, *how, *more, "-q", "-o", self.path(output)]
