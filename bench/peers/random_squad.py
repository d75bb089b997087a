#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""random_squad.py CHECKPOINT OUT.json: questions of random words of the vocabulary, in SQuAD's format, to calibrate on
where a model has no data."""
import json
import random
import sys

checkpoint, out = sys.argv[1:]
with open(f"{checkpoint}/vocab.txt", encoding="utf-8") as stream:
    words = [word for word in stream.read().split("\n") if word.isalpha()]
rng = random.Random(1)
paragraphs = []
for number in range(32):
    context = " ".join(rng.choices(words, k=rng.choice([20, 60, 150])))
    paragraphs.append({"context": context, "qas": [{
        "id": str(number), "question": " ".join(rng.choices(words, k=10)) + "?",
        "answers": [{"text": context.split()[0], "answer_start": 0}]}]})
with open(out, "w", encoding="utf-8") as stream:
    json.dump({"version": "1.1", "data": [{"title": "random words", "paragraphs": paragraphs}]}, stream)
