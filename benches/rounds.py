#!/usr/bin/env python3
"""What a round is worth: noisy labels -> cleaned by an oracle -> an ensemble -> a student of it, beside the ceiling
of clean labels. Through the REST API of a running service, so everything is what a team would get.

    target/debug/tamis serve --state /tmp/rounds &
    python3 benches/rounds.py http://127.0.0.1:8080 --titles titles.csv --taxonomy taxonomy.json

`titles.csv`: id,title,label (a leaf of the taxonomy). For each seed a dataset of its own: class sizes fall by a
power law, a share of the training labels is flipped (mostly to a sibling), the test split keeps the right ones,
and what is left has no label. The oracle decides on the most suspicious samples of one scan, in the order of
review, as many as the budget allows.
"""

import argparse
import csv
import json
import random
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from loop import Tamis  # noqa: E402

NETWORK = """
[network]
family = "{family}"
dim = 64
layers = 1
heads = 4
hidden = 128
[frames]
count = 0
[text]
unit = "{unit}"
tokens_from = "{tokens}"
title = 32
asr = 0
ocr = 0
[regularise]
ema = 0.99
[optimise]
epochs = {epochs}
batch = 64
learning_rate = 0.002
"""


MLP = """
[network]
family = "mlp"
layers = 1
hidden = 256
dropout = 0.3
[loss]
smoothing = 0.1
[optimise]
epochs = {epochs}
batch = 128
learning_rate = 0.001
"""


def network(family, epochs, seeds=(0,), unit=None, tokens="random"):
    if family == "mlp":
        return f"seeds = {list(seeds)}\n" + MLP.format(epochs=epochs)
    unit = unit or ("char" if family == "single" else "word")
    text = NETWORK.format(family=family, unit=unit, tokens=tokens, epochs=epochs)
    return f"seeds = {list(seeds)}\n" + text


def draw(rows, parents, given, seed):
    """Rows of one dataset, and the right class of each training sample."""
    rng = random.Random(seed)
    by_class = {}
    for row in rows:
        by_class.setdefault(row["label"], []).append(row)
    classes = sorted(by_class)
    rng.shuffle(classes)
    sizes = [1 / (i + 1) ** given.power for i in range(len(classes))]
    scale = given.train / sum(sizes)
    out, truth = [], {}
    for label, size in zip(classes, sizes):
        mine = by_class[label]
        rng.shuffle(mine)
        n_train, n_test = max(10, round(size * scale)), given.test // len(classes)
        siblings = [c for c in classes if c != label and parents[c] == parents[label]]
        others = [c for c in classes if c != label]
        for i, row in enumerate(mine[: n_train + n_test + given.unlabelled // len(classes)]):
            entry = {"id": row["id"], "title": row["title"], "label": label, "split": "train"}
            if i < n_test:
                entry["split"] = "test"
            elif i < n_test + n_train:
                truth[row["id"]] = label
                if rng.random() < given.noise:
                    entry["label"] = rng.choice(siblings if siblings and rng.random() < 0.8 else others)
            else:
                entry["label"], entry["split"] = None, "unlabelled"
            out.append(entry)
    rng.shuffle(out)
    return out, truth


def oracle(api, name, truth, budget):
    """Decides on the first `budget` suspects."""
    corrected, done = 0, 0
    suspects, cursor = [], {}
    while len(suspects) < budget:
        page = api.get(f"/api/v1/datasets/{name}/suspects", all="true", limit=200, **cursor)
        suspects += [s for s in page["items"] if s["external_id"] in truth]
        if not page["next"]:
            break
        cursor = {"cursor": page["next"]}
    for s in suspects[:budget]:
        right = truth[s["external_id"]]
        decision = {"decision": "keep"} if right == s["given_class"] else {"decision": "relabel", "class": right}
        corrected += decision["decision"] == "relabel"
        body = {"client_id": str(uuid.uuid4()), "time_spent_ms": 4000} | decision
        api.post(f"/api/v1/datasets/{name}/samples/{s['external_id']}/reviews", body)
        done += 1
    return done, corrected


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--titles", required=True)
    parser.add_argument("--taxonomy", required=True)
    parser.add_argument("--train", type=int, default=1500)
    parser.add_argument("--test", type=int, default=1500)
    parser.add_argument("--unlabelled", type=int, default=6000)
    parser.add_argument("--noise", type=float, default=0.25)
    parser.add_argument("--power", type=float, default=0.7)
    parser.add_argument("--budget", type=float, default=0.2, help="share of the training samples that is reviewed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--tokens", action="store_true", help="only what tokens gain by starting from the encoder")
    given = parser.parse_args()
    api = Tamis(given.url)
    with open(given.titles, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tree = json.loads(Path(given.taxonomy).read_text("utf-8"))
    parents = {n["id"]: n.get("parent") for n in tree["nodes"]}
    table = {}
    for seed in range(given.seeds):
        drawn, truth = draw(rows, parents, given, seed)
        for kind in ("noisy", "clean"):
            name = f"rounds-{kind}-{seed}"
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "rows.jsonl"
                lines = [r | ({"label": truth[r["id"]]} if kind == "clean" and r["id"] in truth else {}) for r in drawn]
                path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in lines), "utf-8")
                api.done(api.upload(name, path, given.taxonomy))

            def run(step, address, body, name=name):
                began = time.monotonic()
                result = api.done(api.post(f"/api/v1/datasets/{name}/{address}", body))
                m = result["metrics"]
                table.setdefault(step, []).append((m["mean_f1"], time.monotonic() - began))
                print(f"seed {seed}  {step:40} mean F1 {m['mean_f1']:.4f}  {time.monotonic() - began:6.0f} s", flush=True)
                return result["training_id"]

            if given.tokens:
                for unit in ("char", "word"):
                    for tokens in ("random", "encoder"):
                        recipe = network("single", given.epochs, unit=unit, tokens=tokens)
                        run(f"single, {unit}s, {kind} labels, tokens from {tokens}", "trainings", {"recipe": recipe})
                continue
            if kind == "clean":
                run("head on clean labels", "trainings", {"recipe": "quick"})
                for family in ("mlp", "single"):
                    run(f"{family} on clean labels", "trainings", {"recipe": network(family, given.epochs)})
                continue
            run("head on noisy labels", "trainings", {"recipe": "quick"})
            for family in ("mlp", "single"):
                run(f"{family} on noisy labels", "trainings", {"recipe": network(family, given.epochs)})
            api.done(api.post(f"/api/v1/datasets/{name}/scans", {}))
            wrong = sum(r["id"] in truth and truth[r["id"]] != r["label"] for r in drawn)
            reviewed, corrected = oracle(api, name, truth, round(given.budget * len(truth)))
            print(f"seed {seed}  {reviewed} reviewed, {corrected} of {wrong} wrong labels corrected", flush=True)
            run("mlp on cleaned labels", "trainings", {"recipe": network("mlp", given.epochs)})
            run("single on cleaned labels", "trainings", {"recipe": network("single", given.epochs)})
            teachers = [
                run("head on cleaned labels", "trainings", {"recipe": "quick"}),
                run("three mlps averaged", "trainings", {"recipe": network("mlp", given.epochs, [1, 2, 3])}),
                run("two singles averaged", "trainings", {"recipe": network("single", given.epochs, [1, 2])}),
                run("dual on cleaned labels", "trainings", {"recipe": network("dual", given.epochs)}),
            ]
            for family in ("mlp", "single"):
                recipe = network(family, max(4, given.epochs // 2))
                run(f"{family}, distilled from these seven", "distillations", {"teachers": teachers, "recipe": recipe})
    print("\n| step | mean F1 over seeds | each | seconds |\n|---|---|---|---|")
    for step, scores in table.items():
        f1 = [s for s, _ in scores]
        each = ", ".join(f"{s:.4f}" for s in f1)
        print(f"| {step} | {statistics.mean(f1):.4f} | {each} | {statistics.mean(t for _, t in scores):.0f} |")


if __name__ == "__main__":
    main()
