#!/usr/bin/env python3
"""Writes src/detect/annotators/golden.json: what cleanlab 2.9's multiannotator functions say of the votes
generated in src/detect/annotators/tests.rs, and a plain NumPy Dawid-Skene. Needs
`pip install cleanlab==2.9.0`; not part of the tests.

    python3 benches/golden_annotators.py > src/detect/annotators/golden.json
"""
import contextlib
import json
import sys
import warnings

import cleanlab.internal.multiannotator_utils as utils
import numpy as np
from cleanlab.multiannotator import get_active_learning_scores, get_label_quality_multiannotator

warnings.filterwarnings("ignore")
# cleanlab 2.9 counts labels held as floats (all are, since NaN marks a missing one) into the first slots
# instead of their classes', so that its temperature is fitted to the wrong classes; repaired here
utils.value_counts = lambda x, num_classes: np.bincount(np.asarray(x, int), minlength=num_classes)


def generated(n, m, k, unlabelled):
    state = 12345

    def draw():
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return state >> 40

    votes, p = np.full((n, m), np.nan), np.zeros((n, k), np.float32)
    for i in range(n):
        truth = min(draw() % k, draw() % k)
        for a in range(m):
            gives, right, other = draw() % 3 < 2, draw() % 10 < 9 - a, draw() % k
            if (gives or a == i % m) and i < n - unlabelled:
                votes[i, a] = truth if right else other
        leans = truth if draw() % 4 < 3 else draw() % k
        raw = [draw() % 1000 + 1 for _ in range(k)]
        total = sum(raw) + 150 * k
        for j in range(k):
            value = raw[j] + (150 * k if j == leans else 0)
            p[i, j] = np.float32(value) / np.float32(total)
    return votes, p


def dawid_skene(votes, k, one_coin, smoothing=1.0, rounds=2000):
    n, m = votes.shape
    onehot = np.stack([votes == j for j in range(k)], axis=2).astype(float)  # (n, m, k)
    post = onehot.sum(1) / onehot.sum((1, 2))[:, None]
    for _ in range(rounds):
        shares = post.sum(0) + smoothing / k
        shares /= shares.sum()
        counts = np.einsum("ij,ial->ajl", post, onehot)
        if one_coin:
            right = np.einsum("ajj->a", counts) + smoothing / k
            chance = right / (counts.sum((1, 2)) + smoothing)
            conf = np.stack([np.where(np.eye(k, dtype=bool), c, (1 - c) / (k - 1)) for c in chance])
        else:
            conf = (counts + smoothing / k) / (counts.sum(2, keepdims=True) + smoothing)
        logs = np.log(shares) + np.einsum("ial,ajl->ij", onehot, np.log(conf))
        post = np.exp(logs - logs.max(1, keepdims=True))
        post /= post.sum(1, keepdims=True)
    return post, conf


def rounded(values):
    return [round(float(v), 6) for v in np.ravel(values)]


cases = []
for n, m, k, unlabelled in [(60, 4, 3, 10), (100, 6, 5, 20), (60, 3, 8, 0)]:
    votes, p = generated(n, m, k, unlabelled)
    p64 = p.astype(float)
    labelled = n - unlabelled
    votes = votes[:labelled]
    # cleanlab prints
    with contextlib.redirect_stdout(sys.stderr):
        found = get_label_quality_multiannotator(votes, p64[:labelled], return_weights=True, verbose=False)
        active, active_unlabelled = get_active_learning_scores(
            votes, p64[:labelled], p64[labelled:] if unlabelled else None)
    quality, stats = found["label_quality"], found["annotator_stats"].sort_index()
    post, conf = dawid_skene(votes, k, False)
    coin, coin_conf = dawid_skene(votes, k, True)
    cases.append({
        "n": n, "m": m, "k": k, "unlabelled": unlabelled,
        "labels": [int(v) for v in quality["consensus_label"]],
        "quality": rounded(quality["consensus_quality_score"]),
        "agreement": rounded(quality["annotator_agreement"]),
        "vote_quality": rounded(found["detailed_label_quality"].to_numpy()[~np.isnan(votes)]),
        "model_weight": float(found["model_weight"]),
        "annotator_weights": rounded(found["annotator_weight"]),
        "annotator_quality": rounded(stats["annotator_quality"]),
        "annotator_agreement": rounded(stats["agreement_with_consensus"]),
        "worst_class": [int(v) for v in stats["worst_class"]],
        "active": rounded(np.concatenate([active, active_unlabelled])),
        "posterior": rounded(post[:10]), "confusion": rounded(conf),
        "coin_posterior": rounded(coin[:10]), "coin_confusion": rounded(coin_conf[:, 0, :2]),
    })
print("[" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "]")
