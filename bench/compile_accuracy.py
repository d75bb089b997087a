#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each way to compile a checkpoint costs: the metric, and how far the results are from fp32's.

    compile_accuracy.py CKPT --task T --calibrate DATA --data DATA... [--limit N] [--max-length N] [--stride N]

ESPALIER=FILE is the program (build/release/espalier). Prints a Markdown table: the metric on each data set in per cent,
with the difference from fp32 in per cent of it, and the root mean square difference of the logits in per cent of fp32's.
"""
import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ESPALIER = os.environ.get("ESPALIER", os.path.join(HERE, "../build/release/espalier"))
LOGIT_EXAMPLES = 500  # for the difference of the logits

WAYS = [
    ("per token", ["--activations", "per-token"]),
    ("per token, --smooth 0.5", ["--activations", "per-token", "--smooth", "0.5"]),
    ("--method minmax", ["--method", "minmax"]),
    ("--method percentile (99.99)", ["--method", "percentile"]),
    ("--method percentile 99.9", ["--percentile", "99.9"]),
    ("--method mse", ["--method", "mse"]),
    ("--method entropy", ["--method", "entropy"]),
    ("--method minmax --smooth 0.5", ["--smooth", "0.5"]),
    ("--method minmax --smooth 0.7", ["--smooth", "0.7"]),
]


def espalier(*arguments, stdin=None):
    done = subprocess.run([ESPALIER, *arguments], input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"espalier {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def questions(path, count):
    """Lines for tokenize: of SQuAD, or of the first column of a table."""
    with open(path, encoding="utf-8") as stream:
        if path.endswith(".json"):
            pairs = [{"text": entry["question"], "pair": paragraph["context"]}
                     for article in json.load(stream)["data"] for paragraph in article["paragraphs"]
                     for entry in paragraph["qas"]]
        else:
            pairs = [{"text": row[0]} for row in list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]]
    return "".join(json.dumps(pair) + "\n" for pair in pairs[:count])


def raw_inputs(checkpoint, arguments):
    lines = espalier("tokenize", checkpoint, "--max-length", str(arguments.max_length or 128),
                     stdin=questions(arguments.data[0], LOGIT_EXAMPLES)).splitlines()
    ids = [json.loads(line) for line in lines]
    return "".join(json.dumps({"input_ids": one["ids"], "token_type_ids": one["type_ids"]}) + "\n" for one in ids)


def logits(model, inputs):
    """All numbers of the answers, one list."""
    values = []
    for line in espalier("run", model, "--raw", stdin=inputs).splitlines():
        for name, numbers in sorted(json.loads(line).items()):
            if name.endswith("logits"):
                values += numbers
    return values


def rms(values):
    return math.sqrt(sum(value * value for value in values) / len(values))


def scores(model, arguments, options):
    found = []
    for data in arguments.data:
        report = json.loads(espalier("eval", model, "--task", arguments.task, "--data", data, "--json", "--quiet",
                                     *options))
        value = report[report["metric"]]
        found.append(value if value > 1 else 100 * value)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--task", required=True)
    parser.add_argument("--calibrate", required=True)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--limit")
    parser.add_argument("--max-length")
    parser.add_argument("--stride")
    arguments = parser.parse_args()
    windows = [word for name in ("max_length", "stride") if getattr(arguments, name)
               for word in ("--" + name.replace("_", "-"), getattr(arguments, name))]
    options = windows + (["--limit", arguments.limit] if arguments.limit else [])
    inputs = raw_inputs(arguments.checkpoint, arguments)
    exact, reference = logits(arguments.checkpoint, inputs), scores(arguments.checkpoint, arguments, options)
    print("| compiled | " + " | ".join(os.path.basename(data) for data in arguments.data) + " | logits |")
    print("|---|" + "---|" * (len(arguments.data) + 1))
    print("| fp32 (the checkpoint) | " + " | ".join(f"{value:.2f}" for value in reference) + " | |", flush=True)
    ways = list(WAYS)
    if os.path.exists(os.path.join(arguments.checkpoint, "quantization.json")):
        ways.insert(0, ("ranges of training", None))
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, how) in enumerate(ways):
            path = os.path.join(scratch, f"{number}.esp")
            data = [] if how is None else ["--calibrate", arguments.calibrate, "--task", arguments.task, *windows, *how]
            espalier("compile", arguments.checkpoint, "-o", path, *data)
            found = scores(path, arguments, options)
            error = rms([a - b for a, b in zip(exact, logits(path, inputs))]) / rms(exact)
            cells = [f"{value:.2f} ({100 * (value / base - 1):+.2f})" for value, base in zip(found, reference)]
            print(f"| {name} | " + " | ".join(cells) + f" | {100 * error:.2f} |", flush=True)
            os.unlink(path)


if __name__ == "__main__":
    main()
