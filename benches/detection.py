#!/usr/bin/env python3
"""How well wrong labels are found: `tamis audit` against baselines on generated and public features.

usage: detection.py --tamis PATH [--sets strong,weak,tail,digits] [--noise sym0.2,...] [--seeds 0,1,2]
                    [--titles titles.csv] [--markdown]

Needs numpy, scipy, scikit-learn and cleanlab. Every set is seeded; no clean label reaches any method.
Protocol: symmetric .2/.4/.6, pair-flip .3, sibling-flip .2/.4, instance-dependent .2/.4, noise at the
borders of classes .15, class-dependent matrix noise .2/.4, and few errors (symmetric .05).

Sets: `strong`, `weak` and `tail` are Gaussian classes (20 under 5 parents, two modes each, 64 dimensions;
`tail` is imbalanced 30 : 1), `digits` is scikit-learn's, `titles` are headlines (character n-gram TF-IDF,
SVD to 128) where --titles is given: a CSV with the columns title and label.

Baselines on the same features: self-confidence and log-margin of a 5-fold logistic regression (C by the
noisy log-loss), argmax != given, cleanlab 2.9 (default filter; ranking by self-confidence), kNN vote
(SimiFeat-V as the flag, SimiFeat-R as the ranking, k = 10), and the global-local detector (class-prototype
margin with a two-component mixture, refined three times; ambiguous samples by kNN agreement).
"""
import argparse, collections, csv, json, os, subprocess, sys, tempfile, warnings

import numpy as np

warnings.filterwarnings("ignore")
NOISE = "sym0.05,sym0.2,sym0.4,sym0.6,pair0.3,sib0.2,sib0.4,idn0.2,idn0.4,border0.15,matrix0.2,matrix0.4"


def softmax(z):
    z = z - z.max(1, keepdims=True)
    e = np.exp(z)
    return e / e.sum(1, keepdims=True)


def blobs(seed, n, spread, tail=1, d=64, roots=5, per=4):
    r = np.random.default_rng(seed)
    k = roots * per
    parents = r.normal(size=(roots, d))
    classes = parents[np.repeat(np.arange(roots), per)] + 0.6 * r.normal(size=(k, d))
    modes = classes[:, None] + 0.35 * r.normal(size=(k, 2, d))
    prior = np.array([float(tail) ** (-i / (k - 1)) for i in range(k)])
    y = r.choice(k, n, p=r.permutation(prior / prior.sum()))
    y[: 3 * k] = np.tile(np.arange(k), 3)
    mix = 0.6 * np.eye(d) + 0.6 * r.normal(size=(d, d)) / np.sqrt(d)
    x = modes[y, r.integers(0, 2, n)] * spread + r.normal(size=(n, d)) @ mix * r.gamma(4, 0.25, (n, 1)) ** 0.5
    return x.astype(np.float32), y, np.repeat(np.arange(roots), per)


def digits(seed):
    from sklearn.datasets import load_digits

    d = load_digits()
    p = np.random.default_rng(seed).permutation(len(d.target))
    return d.data[p].astype(np.float32), d.target[p], np.array([0, 1, 1, 0, 1, 0, 0, 1, 0, 0])


def titles(path, seed, n=4000, _cache={}):
    if not _cache:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        rows = list(csv.DictReader(open(path, encoding="utf-8")))
        grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), max_features=60000, sublinear_tf=True)
        x = TruncatedSVD(128, random_state=0).fit_transform(grams.fit_transform([r["title"] for r in rows]))
        names = sorted({r["label"] for r in rows})
        parents = sorted({c.split(".")[0] for c in names})
        _cache["all"] = (x.astype(np.float32), np.array([names.index(r["label"]) for r in rows]),
                         np.array([parents.index(c.split(".")[0]) for c in names]))
    x, y, root = _cache["all"]
    p = np.random.default_rng(seed).permutation(len(y))[:n]
    return x[p], y[p], root


def corrupt(kind, rate, x, y, root, seed):
    r = np.random.default_rng(seed + 77)
    n, k = len(y), len(root)
    s = y.copy()
    if kind == "sym":
        f = r.random(n) < rate
        s[f] = (y[f] + r.integers(1, k, f.sum())) % k
    elif kind == "pair":
        f = r.random(n) < rate
        s[f] = (y[f] + 1) % k
    elif kind == "sib":
        for i in np.flatnonzero(r.random(n) < rate):
            s[i] = r.choice(np.flatnonzero((root == root[y[i]]) & (np.arange(k) != y[i])))
    elif kind == "idn":
        q = np.clip(r.normal(rate, 0.1, n), 0, 1)
        z = (x - x.mean(0)) / (x.std(0) + 1e-6)
        w = r.normal(size=(k, x.shape[1], k))
        logits = np.stack([z[i] @ w[y[i]] for i in range(n)]) * 2 / np.sqrt(x.shape[1])
        logits[np.arange(n), y] = -1e9
        p = softmax(logits) * q[:, None]
        p[np.arange(n), y] = 1 - q
        s = (p.cumsum(1) > r.random(n)[:, None]).argmax(1)
    elif kind == "border":
        mu = np.stack([x[y == c].mean(0) for c in range(k)])
        d = ((x[:, None] - mu[None]) ** 2).sum(2)
        own = d[np.arange(n), y].copy()
        d[np.arange(n), y] = 1e9
        hard = (own / d.min(1)).argsort().argsort() / n
        f = r.random(n) < 2 * rate * hard
        s[f] = d.argmin(1)[f]
    elif kind == "matrix":
        rates = np.clip(r.beta(2, 2.8, k) * (rate / 0.417), 0.03, 0.87)
        for c in range(k):
            near = np.flatnonzero((root == root[c]) & (np.arange(k) != c))
            far = np.flatnonzero(root != root[c])
            t = np.zeros(k)
            t[near] += 0.34 * r.dirichlet(np.full(len(near), 0.5))
            t[far] += 0.66 * r.dirichlet(np.full(len(far), 0.3))
            m = np.flatnonzero((y == c) & (r.random(n) < rates[c]))
            s[m] = r.choice(k, len(m), p=t / t.sum())
    return s


def out_of_fold(x, s, k, seed):
    """5-fold logistic regression on standardised features, C by the noisy log-loss."""
    from scipy.optimize import minimize

    r = np.random.default_rng(seed)
    x = np.hstack([(x - x.mean(0)) / (x.std(0) + 1e-6), np.ones((len(x), 1))]).astype(np.float32)
    fold = np.empty(len(s), int)
    for c in range(k):
        m = r.permutation(np.flatnonzero(s == c))
        fold[m] = (np.arange(len(m)) + r.integers(5)) % 5
    onehot = np.eye(k, dtype=np.float32)[s]
    best, starts = None, [np.zeros(x.shape[1] * k)] * 5
    for c in (0.003, 0.01, 0.03, 0.1):
        p = np.zeros((len(s), k))
        for f in range(5):
            t = fold != f
            xt, yt, l2 = x[t], onehot[t], 1 / (c * t.sum())

            def loss(v):
                w = v.reshape(-1, k).astype(np.float32)
                z = xt @ w
                z -= z.max(1, keepdims=True)
                lse = np.log(np.exp(z).sum(1, keepdims=True))
                g = xt.T @ ((np.exp(z - lse) - yt) / len(xt))
                g[:-1] += l2 * w[:-1]
                return float(-(yt * (z - lse)).sum() / len(xt) + 0.5 * l2 * (w[:-1] ** 2).sum()), g.ravel().astype(float)

            starts[f] = minimize(loss, starts[f], jac=True, method="L-BFGS-B", options={"maxiter": 60}).x
            p[fold == f] = softmax(x[fold == f] @ starts[f].reshape(-1, k))
        noisy = -np.log(np.maximum(p[np.arange(len(s)), s], 1e-12)).mean()
        if best is not None and noisy > best[0]:
            break
        best = (noisy, p)
    return best[1]


def mixture(g):
    """Posterior of the low component of a two-component one-dimensional Gaussian mixture."""
    m, v, pi = np.quantile(g, [0.1, 0.75]), np.full(2, g.var() / 4 + 1e-9), np.array([0.3, 0.7])
    for _ in range(100):
        r = softmax(np.log(pi) - 0.5 * np.log(v) - 0.5 * (g[:, None] - m) ** 2 / v)
        n = r.sum(0) + 1e-9
        m, pi = (r * g[:, None]).sum(0) / n, n / len(g)
        v = (r * (g[:, None] - m) ** 2).sum(0) / n + 1e-6 * g.var()
    return r[:, m.argmin()]


def baselines(x, s, k, seed):
    """name -> (score, higher = worse; flags or None)."""
    from cleanlab.filter import find_label_issues

    n, at = len(s), np.arange(len(s))
    p = out_of_fold(x, s, k, seed)
    other = p.copy()
    other[at, s] = -1
    z = (x - x.mean(0)) / (x.std(0) + 1e-6)
    u = z / (np.linalg.norm(z, axis=1, keepdims=True) + 1e-9)
    sim = u @ u.T
    np.fill_diagonal(sim, -9)
    near = np.argsort(-sim, axis=1)[:, :20]

    def vote(count):
        w = np.maximum(np.take_along_axis(sim, near[:, :count], 1), 1e-6)
        v = np.zeros((n, k))
        for j in range(count):
            np.add.at(v, (at, s[near[:, j]]), w[:, j])
        return v / v.sum(1, keepdims=True)

    v = vote(10)
    agree = vote(20)[at, s]
    keep = np.ones(n)
    for _ in range(3):
        mu = np.zeros((k, x.shape[1]))
        np.add.at(mu, s, u * keep[:, None])
        cos = u @ (mu / (np.linalg.norm(mu, axis=1, keepdims=True) + 1e-9)).T
        rest = cos.copy()
        rest[at, s] = -9
        g = cos[at, s] - rest.max(1)
        low = mixture(g)
        keep = (low < 0.8) + 1e-3
    ambiguous = (low > 0.2) & (low < 0.8)
    flags = low >= 0.8
    if ambiguous.sum() > 10:
        flags[ambiguous] = mixture(agree[ambiguous]) >= 0.5
    clean = find_label_issues(s, p)
    return {
        "self-confidence": (-p[at, s], None),
        "log-margin": (np.log(other.max(1) + 1e-12) - np.log(p[at, s] + 1e-12), None),
        "argmax": (-p[at, s], p.argmax(1) != s),
        "cleanlab": (-p[at, s], clean),
        "SimiFeat": (-v[at, s], v.argmax(1) != s),
        "global-local": (-g, flags),
    }


def audit(tamis, x, s, threads):
    with tempfile.TemporaryDirectory() as d:
        np.save(f"{d}/x.npy", x)
        np.save(f"{d}/y.npy", s)
        command = [tamis, "audit", "--labels", f"{d}/y.npy", "--features", f"{d}/x.npy", "--out", f"{d}/o", "--json"]
        if threads:
            command += ["--threads", str(threads)]
        summary = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows = list(csv.DictReader(open(f"{d}/o/issues.csv", encoding="utf-8")))
    rank = np.array([int(r["rank"]) for r in rows])
    return -rank.astype(float), np.array([r["is_label_issue"] == "True" for r in rows]), summary


def measures(score, flags, wrong):
    from sklearn.metrics import average_precision_score, roc_auc_score

    order = np.argsort(-score, kind="stable")
    found = wrong[order].cumsum()
    n, e = len(wrong), wrong.sum()
    out = {"auroc": roc_auc_score(wrong, score), "ap": average_precision_score(wrong, score),
           "f1_true": 2 * found[e - 1] / (2 * e)}
    for share in (5, 10, 20):
        out[f"r{share}"] = found[max(n * share // 100, 1) - 1] / e
    out["f1"] = 2 * (wrong & flags).sum() / max(flags.sum() + e, 1) if flags is not None else np.nan
    return {key: 100 * value for key, value in out.items()}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--tamis", required=True)
    a.add_argument("--sets", default="strong,weak,tail,digits")
    a.add_argument("--noise", default=NOISE)
    a.add_argument("--seeds", default="0,1,2")
    a.add_argument("--titles")
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--out", help="also write all figures here, JSON")
    a = a.parse_args()
    makers = {"strong": lambda s: blobs(s, 3000, 0.62), "weak": lambda s: blobs(s, 3000, 0.33),
              "tail": lambda s: blobs(s, 4000, 0.5, tail=30), "digits": digits,
              "titles": lambda s: titles(a.titles, s)}
    names = a.sets.split(",") + (["titles"] if a.titles else [])
    all_rows = {}
    for name in names:
        for noise in a.noise.split(","):
            kind, rate = noise.rstrip("0123456789."), float(noise.lstrip("abcdefghijklmnopqrstuvwxyz"))
            per = collections.defaultdict(list)
            for seed in map(int, a.seeds.split(",")):
                x, y, root = makers[name](seed)
                s = corrupt(kind, rate, x, y, root, seed)
                wrong = s != y
                score, flags, summary = audit(a.tamis, x, s, a.threads)
                row = measures(score, flags, wrong)
                row["counted"] = summary["estimated_errors"] / wrong.sum()
                row["inside"] = float(summary["estimated_errors_low"] <= wrong.sum() <= summary["estimated_errors_high"])
                per["tamis"].append(row)
                for method, (score, flags) in baselines(x, s, len(root), seed).items():
                    per[method].append(measures(score, flags, wrong))
            row = {m: {key: float(np.mean([r[key] for r in rs])) for key in rs[0]} for m, rs in per.items()}
            all_rows[f"{name} {noise}"] = row
            t = row["tamis"]
            best = {key: max((r[key], m) for m, r in row.items() if m != "tamis" and r[key] == r[key])
                    for key in ("auroc", "ap", "f1", "r5", "r10", "r20")}
            print(f"| {name} {noise} | " + " | ".join(
                f"{t[key]:.1f} ({best[key][0]:.1f} {best[key][1]})" for key in ("auroc", "ap", "f1"))
                + f" | {t['f1_true']:.1f} | {t['counted']:.2f} | {t['r10']:.1f} ({best['r10'][0]:.1f}) |", flush=True)
    behind = [(row["tamis"][key] - max(r[key] for m, r in row.items() if m != "tamis" and r[key] == r[key]), case, key)
              for case, row in all_rows.items() for key in ("auroc", "ap", "f1", "r5", "r10", "r20")]
    print(f"\n{sum(b[0] >= -0.5 for b in behind)} of {len(behind)} columns best or within 0.5; the others:")
    print("; ".join(f"{case} {key} {gap:.1f}" for gap, case, key in sorted(behind) if gap < -0.5))
    cuts = [row["tamis"]["f1"] - row["tamis"]["f1_true"] for row in all_rows.values()]
    print(f"F1 at the deployed cut within 3 points of the true number: {sum(c >= -3 for c in cuts)} of {len(cuts)},"
          f" worst {min(cuts):.1f}; truth inside the interval: {np.mean([r['tamis']['inside'] for r in all_rows.values()]):.2f}")
    if a.out:
        json.dump(all_rows, open(a.out, "w"), indent=1)


if __name__ == "__main__":
    main()
