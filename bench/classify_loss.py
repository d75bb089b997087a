#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Log loss of classifiers, which tells models apart that a few thousand right or wrong answers do not.

    classify_loss.py DATA.tsv TEACHER MODEL...

DATA has the text in its first column and the number of the label in its second. ESPALIER=FILE is the program
(build/release/espalier). Prints a line a model: name, log loss, share of the answers that are the teacher's.
"""
import csv
import json
import math
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ESPALIER = os.environ.get("ESPALIER", os.path.join(HERE, "../build/release/espalier"))


def espalier(*arguments, stdin):
    done = subprocess.run([ESPALIER, *arguments], input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"espalier {' '.join(arguments)}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def logits(model, texts):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    encoded = espalier("tokenize", model, "--max-length", "128", stdin=lines)
    raw = "".join(json.dumps({"input_ids": one["ids"], "token_type_ids": one["type_ids"]}) + "\n" for one in encoded)
    return [one["logits"] for one in espalier("run", model, "--raw", stdin=raw)]


def log_loss(values, label):
    most = max(values)
    return math.log(sum(math.exp(value - most) for value in values)) + most - values[label]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    texts, labels = [row[0] for row in rows], [int(row[1]) for row in rows]
    teacher = [max(range(len(one)), key=one.__getitem__) for one in logits(sys.argv[2], texts)]
    for model in sys.argv[2:]:
        found = logits(model, texts)
        loss = sum(map(log_loss, found, labels)) / len(rows)
        same = sum(one[answer] == max(one) for one, answer in zip(found, teacher)) / len(rows)
        print(f"{os.path.basename(model.rstrip('/'))} {loss:.4f} {100 * same:.2f}", flush=True)


if __name__ == "__main__":
    main()
