#!/usr/bin/env python3
"""The whole of `tamis audit` against cleanlab's Datalab on the same generated arrays, in one run.

    pip install cleanlab==2.9.0 datasets scikit-learn
    python3 benches/whole_audit.py --tamis target/debug/tamis --dir DIR

Two cases. "given": features and predicted probabilities are both given. "alone": features only; Tamis fits
its own heads out of fold, beside Datalab stands scikit-learn's
cross_val_predict(LogisticRegression(), cv=5). `--alone-rows` takes fewer rows for the second, whose
baseline is slow. Every measurement is a process of its own. CPU seconds are user and system time of it and
its children: for Tamis of the whole process, reading and writing included, for cleanlab of the calls alone,
its imports and input left out. Peak is that of the whole process, mapped input included. Prints a line of
JSON for each tool and each case's ratios.

The data (seeded): N samples of K classes, frequent ones more often by (rank + 1)^-0.5. Labels: 8 % wrong,
seven in ten of these one of three classes that the true one is mistaken for, the rest any class.
Features: class centre plus 1.3 times standard normal noise, negative values cut to 0; 1,000 rows are near and 200
exact copies of each other in pairs, 250 are outliers. Probabilities: softmax of normal logits with a bump of
random height for the true class, less for those it is mistaken for and for the given label; 5 % have the
bump on a wrong class.
"""
import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DATALAB = """
import json, resource, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np
from cleanlab import Datalab
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
labels, features, probs, out = sys.argv[1:]
y, x = np.load(labels), np.load(features)
p = np.load(probs) if probs else None
def cpu():
    a, b = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return a.ru_utime + a.ru_stime + b.ru_utime + b.ru_stime
began, spent = time.perf_counter(), cpu()
folds = 0.0
if p is None:
    p = cross_val_predict(LogisticRegression(), x, y, cv=5, method="predict_proba")
    folds = cpu() - spent
lab = Datalab(data={"y": y}, label_name="y", verbosity=0)
lab.find_issues(features=x, pred_probs=p)
wall, spent = time.perf_counter() - began, cpu() - spent
np.save(out, lab.get_issues("label")["label_score"].to_numpy())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"cpu_s": round(spent, 1), "of_it_folds_s": round(folds, 1), "wall_s": round(wall, 1), "peak_mib": round(peak)}))
"""


def generate(folder, n, d, k):
    """Files of labels, truth, features and probabilities."""
    names = {what: folder / f"{what}_{n}x{d}x{k}.npy" for what in ["labels", "truth", "features", "probs"]}
    if all(p.exists() for p in names.values()):
        return names
    rng = np.random.default_rng([20240711, n, d, k])
    prior = rng.permutation((np.arange(k) + 1.0) ** -0.5)
    truth = rng.choice(k, n, p=prior / prior.sum())
    truth[:k] = np.arange(k)
    ring = rng.permutation(k)
    at = np.argsort(ring)
    mistaken = np.stack([ring[(at + step) % k] for step in (1, 2, 3)], 1)
    given = truth.copy()
    wrong = rng.random(n) < 0.08
    wrong[:k] = False
    near = rng.random(n) < 0.7
    given[wrong] = np.where(near, mistaken[truth, rng.integers(0, 3, n)], rng.integers(0, k, n))[wrong]

    centres = rng.standard_normal((k, d), np.float32)
    x = np.maximum(centres[truth] + np.float32(1.3) * rng.standard_normal((n, d), np.float32), 0)
    few = max(1, n // 100)
    pairs = rng.choice(n, 2 * (few // 2), replace=False).reshape(2, -1)
    x[pairs[0]] = x[pairs[1]] * (1 + np.float32(0.001) * rng.standard_normal((pairs.shape[1], d), np.float32))
    pairs = rng.choice(n, 2 * max(1, few // 5), replace=False).reshape(2, -1)
    x[pairs[0]] = x[pairs[1]]
    out = rng.choice(n, few // 2, replace=False)
    x[out] = 3 * rng.standard_normal((len(out), d), np.float32)

    logits = rng.standard_normal((n, k), np.float32)
    rows = np.arange(n)
    height = rng.normal(4 + np.log(k) / 2, 2, n).astype(np.float32)
    for c in range(3):
        logits[rows, mistaken[truth, c]] += np.float32(0.35) * height
    bumped = np.where(rng.random(n) < 0.05, mistaken[truth, rng.integers(0, 3, n)], truth)
    logits[rows, bumped] += height
    logits[rows, given] += np.float32(0.15) * height
    e = np.exp(logits - logits.max(1, keepdims=True))
    arrays = {"labels": given, "truth": truth, "features": x, "probs": e / e.sum(1, keepdims=True)}
    for what, path in names.items():
        np.save(path, arrays[what])
    return names


def run(command):
    """CPU and wall seconds, peak MiB of the process, and its output."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{command[0]} ended with {status}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began, usage.ru_maxrss / 1024, text


def auroc(quality, wrong):
    """Chance that a wrong label has a lower quality than a right one, ties counting half."""
    values, places, counts = np.unique(quality, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    bad, good = wrong.sum(), (~wrong).sum()
    return 1 - (ranks[wrong].sum() - bad * (bad + 1) / 2) / (bad * good)


def tamis(a, files, given, folder):
    command = [a.tamis, "audit", "--labels", files["labels"], "--features", files["features"], "--out", folder, "--json"]
    cpu, wall, peak, _ = run(command + (["--pred-probs", files["probs"]] if given else []))
    with open(Path(folder) / "issues.csv", newline="", encoding="utf-8") as f:
        quality = np.array([float(row["label_quality"]) for row in csv.DictReader(f)])
    return {"cpu_s": round(cpu, 1), "wall_s": round(wall, 1), "peak_mib": round(peak)}, quality


def datalab(files, given, folder):
    out = Path(folder) / "datalab.npy"
    probs = files["probs"] if given else ""
    text = run([sys.executable, "-c", DATALAB, files["labels"], files["features"], probs, out])[3]
    return json.loads(text.splitlines()[-1]), np.load(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tamis", required=True)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--alone-rows", type=int, help="rows where only features are given [default: --rows]")
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--cases", default="given,alone")
    parser.add_argument("--without-datalab", action="store_true")
    a = parser.parse_args()
    a.dir.mkdir(parents=True, exist_ok=True)
    for case in a.cases.split(","):
        given = case == "given"
        n = a.rows if given else a.alone_rows or a.rows
        files = generate(a.dir, n, a.columns, a.classes)
        wrong = np.load(files["labels"]) != np.load(files["truth"])
        np.load(files["features"]).max()  # into the page cache
        results = {}
        with tempfile.TemporaryDirectory() as folder:
            tools = {"tamis": lambda: tamis(a, files, given, folder)}
            if not a.without_datalab:
                tools["datalab"] = lambda: datalab(files, given, folder)
            for name, tool in tools.items():
                result, quality = tool()
                results[name] = result | {"auroc": round(auroc(quality, wrong), 4)}
                print(json.dumps({"case": case, "rows": n, "tool": name} | results[name]), flush=True)
        if len(results) == 2:
            ratios = {f"{what}_ratio": round(results["datalab"][what] / results["tamis"][what], 1) for what in ["cpu_s", "wall_s", "peak_mib"]}
            print(json.dumps({"case": case, "rows": n} | ratios), flush=True)


main()
