#!/usr/bin/env python3
"""Writes src/detect/filters/golden.json: the issue sets that cleanlab 2.9 finds on the generated matrices
of src/detect/filters/tests.rs. Needs `pip install cleanlab==2.9.0`; not part of the tests.

    python3 benches/golden_filters.py > src/detect/filters/golden.json
"""
import json
import warnings

import numpy as np
from cleanlab.filter import find_label_issues

FILTERS = [
    "prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given",
    "low_normalized_margin", "low_self_confidence",
]


def generated(n, k, wrong):
    state = 12345

    def draw():
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return state >> 40

    p, y = np.zeros((n, k), np.float32), []
    for i in range(n):
        label = min(draw() % k, draw() % k)
        leans = draw() % k if draw() % 8 < wrong else label
        raw = [draw() % 1000 + 1 for _ in range(k)]
        total = sum(raw) + 150 * k
        for j in range(k):
            p[i, j] = np.float32(raw[j] + (150 * k if j == leans else 0)) / np.float32(total)
        y.append(label)
    return p, np.array(y)


def digest(flags):
    h = 0xCBF29CE484222325
    for row in np.flatnonzero(flags):
        for b in int(row).to_bytes(8, "little"):
            h = (h ^ b) * 0x100000001B3 % 2**64
    return f"{int(flags.sum())} {h:016x}"


warnings.simplefilter("ignore")
out = {}
for n, k, wrong in [(500, 3, 2), (3000, 12, 3), (4000, 40, 5), (300, 90, 2)]:
    p, y = generated(n, k, wrong)
    for name in FILTERS:
        out[f"{n} {k} {wrong} {name}"] = digest(find_label_issues(y, p, filter_by=name, n_jobs=1))
print(json.dumps(out, indent=1))
