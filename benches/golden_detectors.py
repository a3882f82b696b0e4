#!/usr/bin/env python3
"""Writes src/detect/golden_detectors.json: a made-up set and what plain NumPy, SciPy and scikit-learn say of
it by the formulas of the mixture, the prototype margin, FINE, SimiFeat and the neighbours' consensus.
Needs numpy, scipy and scikit-learn; not part of the tests.

    python3 benches/golden_detectors.py > src/detect/golden_detectors.json
"""
import json
import sys
import warnings

import numpy as np
from scipy.linalg import sqrtm
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

# two hundred steps are what the Rust code takes too
warnings.filterwarnings("ignore")
N, D, K = 150, 6, 3
r = np.random.default_rng(7)
centres = r.normal(size=(K, D)) * 1.2
truth = r.integers(0, K, N)
x = np.round(centres[truth] + 0.75 * r.normal(size=(N, D)), 4)
labels = np.where(r.random(N) < 0.2, (truth + r.integers(1, K, N)) % K, truth)
labels[labels == 2] = np.where(r.random((labels == 2).sum()) < 0.15, 0, 2)
unit = x / np.linalg.norm(x, axis=1, keepdims=True)


def mixture(values):
    v = np.asarray(values, float)[:, None]
    s, spread = np.sort(v[:, 0]), v.var()
    at = lambda q: [s[round(q * (len(s) - 1))]]
    fits = [GaussianMixture(2, tol=1e-8, max_iter=200, reg_covar=0, weights_init=[0.3, 0.7], means_init=[at(a), at(b)],
                            precisions_init=[[[4 / spread]]] * 2).fit(v)
            for a, b in ((0.1, 0.75), (0.02, 0.6), (0.3, 0.9))]
    return max(fits, key=lambda f: f.score(v))


def low(fit, values):
    o = np.argsort(fit.means_.ravel())
    v = np.clip(np.asarray(values, float), *fit.means_.ravel()[o])
    return fit.predict_proba(v[:, None])[:, o[0]]


def margins(weights):
    out = np.empty(N)
    for i in range(N):
        cos = []
        for c in range(K):
            m = np.flatnonzero((labels == c) & (np.arange(N) != i))
            mean = (unit[m] * weights[m, None]).sum(0)
            cos.append(unit[i] @ mean / np.linalg.norm(mean))
        out[i] = cos[labels[i]] - max(v for c, v in enumerate(cos) if c != labels[i])
    return out


weights = np.ones(N)
for turn in range(4):
    g = margins(weights)
    whole = mixture(g)
    p_wrong = np.empty(N)
    for c in range(K):
        m = labels == c
        fit = mixture(g[m])
        gain = 2 * m.sum() * (fit.score(g[m][:, None]) - whole.score(g[m][:, None]))
        p_wrong[m] = low(fit if turn == 3 and gain > 5 * np.log(m.sum()) else whole, g[m])
    weights = np.where(p_wrong < 0.8, 1, 1e-3)

alignment, p_clean = np.empty(N), np.empty(N)
for c in range(K):
    m = labels == c
    u = np.linalg.eigh(unit[m].T @ unit[m])[1][:, -1]
    alignment[m] = (unit[m] @ u) ** 2
    p_clean[m] = 1 - low(mixture(alignment[m]), alignment[m])

distance, index = NearestNeighbors(n_neighbors=21, metric="cosine", algorithm="brute").fit(unit).kneighbors(unit)
distance, index = distance[:, 1:], index[:, 1:]
quality, outvoted = np.empty(N), np.empty(N, bool)
for i in range(N):
    h = np.zeros(K)
    h[labels[i]] += np.clip(1 - (2 * distance[i, 0] - distance[i, 1]), 0, 1)
    for j, d in zip(index[i, :9], distance[i, :9]):
        h[labels[j]] += max(1 - d, 0)
    h /= np.linalg.norm(h)
    quality[i], outvoted[i] = h[labels[i]], h.argmax() != labels[i]

pairs = np.zeros((K, K))
np.add.at(pairs, (labels, labels[index[:, 0]]), 1 / N)
pairs = (pairs + pairs.T) / 2
value, vector = np.linalg.eigh(pairs)
root = np.real(sqrtm(vector @ np.diag(np.maximum(value, 0)) @ vector.T))
prior = root.sum(1) ** 2 / (root.sum(1) ** 2).sum()
transition = np.maximum(root, 0)
transition /= transition.sum(1, keepdims=True)
trusted = prior * transition.diagonal() / (prior @ transition)
low_ranked = np.zeros(N, bool)
for c in range(K):
    m = np.flatnonzero(labels == c)
    low_ranked[m[np.argsort(quality[m], kind="stable")[: round((1 - trusted[c]) * len(m))]]] = True

fit = mixture(x[:, 0] + 2.5 * truth)
o = np.argsort(fit.means_.ravel())
rounded = lambda a: np.round(np.asarray(a, float), 6).tolist()
json.dump({
    "features": x.tolist(), "labels": labels.tolist(), "classes": K,
    "mixture": {"values": rounded(x[:, 0] + 2.5 * truth), "weight": rounded(fit.weights_[o]),
                "mean": rounded(fit.means_.ravel()[o]), "variance": rounded(fit.covariances_.ravel()[o])},
    "margin": rounded(g), "p_wrong": rounded(p_wrong),
    "alignment": rounded(alignment), "p_clean": rounded(p_clean),
    "quality": rounded(quality), "outvoted": outvoted.tolist(), "low_ranked": low_ranked.tolist(),
    "prior": rounded(prior), "transition": [rounded(t) for t in transition],
    "error_rate": float(1 - prior @ transition.diagonal()),
}, sys.stdout)
