#!/usr/bin/env python3
"""Writes src/detect/meta/golden.json: scikit-learn's LogisticRegression on the table generated in
src/detect/meta/tests.rs. Needs `pip install scikit-learn`; not part of the tests.

    python3 benches/golden_meta.py > src/detect/meta/golden.json
"""
import json

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

N, D = 60, 3
state = 2026


def draw():
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 40) / 2**24


x, y, weights = np.zeros((N, D)), np.zeros(N, bool), np.zeros(N)
for i in range(N):
    x[i] = [4 * draw() - 2 for _ in range(D)]
    y[i] = draw() < 1 / (1 + np.exp(-(x[i, 0] - 0.5 * x[i, 1])))
    weights[i] = 0.5 + draw()

fits = []
for c in [0.01, 1.0, 100.0]:
    model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model.fit(x, y, sample_weight=weights)
    p = model.predict_proba(x)[:, 1]
    fits.append(
        {
            "c": c,
            "intercept": model.intercept_[0],
            "coefficients": model.coef_[0].tolist(),
            "log_loss": log_loss(y, p, sample_weight=weights),
            "auroc": roc_auc_score(y, p),
        }
    )
print(json.dumps({"wrong": int(y.sum()), "fits": fits}, indent=1))
