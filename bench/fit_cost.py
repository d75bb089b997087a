#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How a model's time grows: fits  ms = base + a * tokens + b * sum of length^2  to what
    espalier bench MODEL --batch 1,2,... --length 8,16,... --threads 1 --json | fit_cost.py
prints, by least squares of relative errors, and shows every combination beside the fit. Several runs one after another:
the fastest run of each combination counts, since other work on the machine only slows. Needs numpy."""
import json
import sys

import numpy

best = {}
for line in sys.stdin:
    for row in json.loads(line):
        shape = row["batch"], row["length"]
        best[shape] = min(row["min_ms"], best.get(shape, float("inf")))
batch, length = numpy.array(list(best), float).T
measured = numpy.array(list(best.values()))
terms = numpy.stack([numpy.ones(len(best)), batch * length, batch * length**2], 1)
weights, *_ = numpy.linalg.lstsq(terms / measured[:, None], numpy.ones(len(best)), rcond=None)
fitted = terms @ weights
print(f"ms = {weights[0]:.3f} + {weights[1] * 1e3:.3f} us * tokens + {weights[2] * 1e6:.3f} ns * sum of length^2")
print(f"{'batch':>6} {'length':>6} {'ms':>10} {'fit':>10} {'ratio':>6} {'us/token':>9}")
for (sequences, tokens), ms, fit in zip(best, measured, fitted):
    print(f"{sequences:6} {tokens:6} {ms:10.3f} {fit:10.3f} {ms / fit:6.2f} {ms * 1e3 / (sequences * tokens):9.1f}")
