#!/usr/bin/env python3
"""`tamis audit` against cleanlab on the same generated arrays, in pairs within one run.

    pip install cleanlab==2.9.0
    python3 benches/audit.py --tamis target/debug/tamis --dir DIR 1000000x200 1000000x10 50000x1000

Each case N x K is generated once (seeded, float32 probabilities, int64 labels). Every measurement is a
process of its own: CPU seconds are user and system time of it and its children, less those of the same
process that only loads its input (for Tamis nothing is taken off: mapping and start-up count). Peak is
that of the process above the size of its input. Best of --reps. Prints a line of JSON for each case and
selection, with how many samples the two select differently.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CLEANLAB = """
import resource, sys, warnings, json
warnings.filterwarnings("ignore")
import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
labels, probs, name, out = sys.argv[1:]
y, p = np.load(labels), np.load(probs)
def cpu():
    a, b = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return a.ru_utime + a.ru_stime + b.ru_utime + b.ru_stime
rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
base, began = rss(), cpu()
scores = ["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
found = get_label_quality_scores(y, p, method=name) if name in scores else find_label_issues(y, p, filter_by=name)
spent = cpu() - began
np.save(out, found)
print(json.dumps({"cpu_s": spent, "peak_mib": rss() - base}))
"""


def generate(folder, n, k):
    labels, probs = folder / f"labels_{n}x{k}.npy", folder / f"probs_{n}x{k}.npy"
    if probs.exists():
        return labels, probs
    rng = np.random.default_rng([n, k])
    truth = rng.choice(k, n, p=(w := (np.arange(k) + 1.0) ** -0.5) / w.sum())
    given = np.where(rng.random(n) < 0.08, rng.integers(0, k, n), truth)
    part = folder / "part.npy"
    p = np.lib.format.open_memmap(part, "w+", np.float32, (n, k))
    step = max(1, 20_000_000 // k)
    for a in range(0, n, step):
        b = min(n, a + step)
        logits = rng.standard_normal((b - a, k), np.float32)
        rows = np.arange(b - a)
        logits[rows, truth[a:b]] += rng.normal(4 + np.log(k) / 2, 2, b - a).astype(np.float32)
        e = np.exp(logits - logits.max(1, keepdims=True))
        p[a:b] = e / e.sum(1, keepdims=True)
    p.flush()
    np.save(labels, given)
    part.rename(probs)
    return labels, probs


def run(command):
    """Wall and CPU seconds, peak MiB of the process, and its output."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{command[0]} ended with {status}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text


def anonymous_peak(command):
    """Peak MiB of memory that is the process's own (not the mapped file), sampled."""
    child, peak = subprocess.Popen(command, stdout=subprocess.DEVNULL), 0
    while child.poll() is None:
        try:
            for line in open(f"/proc/{child.pid}/status"):
                if line.startswith("RssAnon"):
                    peak = max(peak, int(line.split()[1]) / 1024)
        except (FileNotFoundError, ProcessLookupError):
            break
        time.sleep(0.002)
    child.wait()
    return peak


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tamis", required=True)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--select", default="prune_by_noise_rate")
    parser.add_argument("--without-cleanlab", action="store_true")
    parser.add_argument("cases", nargs="+")
    a = parser.parse_args()
    a.dir.mkdir(parents=True, exist_ok=True)
    for case in a.cases:
        n, k = map(int, case.split("x"))
        labels, probs = generate(a.dir, n, k)
        np.load(probs, mmap_mode="r").max()  # into the page cache
        for name in a.select.split(","):
            with tempfile.TemporaryDirectory() as out:
                ours = [a.tamis, "audit", "--labels", labels, "--pred-probs", probs, "--select", name, "--out", out]
                best, theirs = [], []
                for _ in range(a.reps):
                    best.append(run(ours)[:2])
                    if not a.without_cleanlab:
                        text = run([sys.executable, "-c", CLEANLAB, labels, probs, name, out + "/cleanlab.npy"])[3]
                        # it may print of its own before
                        theirs.append(json.loads(text.splitlines()[-1]))
                result = {"case": case, "select": name,
                          "tamis": {"cpu_s": round(min(c for _, c in best), 3), "wall_s": round(min(w for w, _ in best), 3),
                                    "peak_mib": round(anonymous_peak(ours))}}
                if theirs:
                    result["cleanlab"] = {"cpu_s": round(min(t["cpu_s"] for t in theirs), 3),
                                          "peak_mib": round(min(t["peak_mib"] for t in theirs))}
                    result["ratio"] = round(result["cleanlab"]["cpu_s"] / result["tamis"]["cpu_s"], 1)
                    x, y = np.load(out + "/selected.npy"), np.load(out + "/cleanlab.npy")
                    if x.dtype == bool:
                        result["selected"], result["differently"] = int(x.sum()), int((x != y).sum())
                    else:
                        result["largest_difference"] = float(np.abs(x - y).max())
                print(json.dumps(result), flush=True)


main()
