#!/usr/bin/env python3
"""One round of the loop with nothing but `requests`: import, scan, review, train, and what next.

    python3 examples/loop.py http://127.0.0.1:8080 --annotations rows.jsonl --taxonomy taxonomy.json

Reviews come from a file of known classes (`--truth`, JSON: {"sample id": "class"}), or from whoever sits at
the terminal. Where the service asks for a sign-in, give a token: `--token` or TAMIS_TOKEN.
"""

import argparse
import json
import os
import sys
import time
import uuid

import requests


class Tamis:
    """The API of one service. Every refusal is a problem with a stable code, and ends the script."""

    def __init__(self, url, token=None):
        self.url = url.rstrip("/")
        self.http = requests.Session()
        if token:
            self.http.headers["Authorization"] = f"Bearer {token}"

    def call(self, method, path, **more):
        headers = more.pop("headers", {})
        if method == "POST":
            # the same request sent again does nothing twice
            headers.setdefault("Idempotency-Key", str(uuid.uuid4()))
        for attempt in range(10):
            answer = self.http.request(method, f"{self.url}{path}", headers=headers, timeout=120, **more)
            # the database or the server is restarting
            if answer.status_code != 503 or "files" in more:
                break
            time.sleep(attempt + 1)
        if answer.status_code >= 400:
            problem = answer.json()
            fields = "".join(f"\n  {e['field']}: {e['message']}" for e in problem.get("errors", []))
            sys.exit(f"{method} {path}: {problem['code']}: {problem['detail']}{fields}")
        return answer.json() if answer.content else None

    def get(self, path, **params):
        return self.call("GET", path, params=params)

    def post(self, path, body=None, **more):
        return self.call("POST", path, **({"json": body} if body is not None else {}), **more)

    def done(self, job):
        """Waits until a job has ended; its result."""
        while job["state"] in ("queued", "running"):
            time.sleep(0.5)
            job = self.get(f"/api/v1/jobs/{job['id']}")
        if job["state"] != "succeeded":
            sys.exit(f"{job['kind']}: {job['state']}: {job['error']}")
        return job["result"]

    def upload(self, dataset, annotations, taxonomy):
        with open(annotations, "rb") as rows, open(taxonomy, "rb") as tree:
            files = {"annotations": rows, "taxonomy": tree}
            return self.post(f"/api/v1/datasets/{dataset}/imports", files=files)


def decide(suspect, truth):
    """What a reviewer says of a suspect: the class that is right, or None for `I do not know`."""
    if truth is not None:
        return truth.get(suspect["external_id"])
    print(f"\n{suspect['external_id']}: {suspect['title']}")
    print(f"  given {suspect['given_class']}, suggested {suspect['suggested_class']} ({suspect['suggested_p']:.0%})")
    said = input("  right class (Enter: as given, ?: unsure): ").strip()
    return None if said == "?" else said or suspect["given_class"]


def review(api, dataset, budget, truth):
    """Decides on the most suspicious samples; how many, and how many labels changed."""
    reviewed, corrected = 0, 0
    suspects = api.get(f"/api/v1/datasets/{dataset}/suspects", status="open", limit=min(budget, 200))
    for suspect in suspects["items"][:budget]:
        began = time.monotonic()
        right = decide(suspect, truth)
        body = {"client_id": str(uuid.uuid4()), "decision": "unsure"}
        if right == suspect["given_class"]:
            body["decision"] = "keep"
        elif right is not None:
            body |= {"decision": "relabel", "class": right}
            corrected += 1
        body["time_spent_ms"] = int((time.monotonic() - began) * 1000)
        sample = requests.utils.quote(suspect["external_id"], safe="")
        api.post(f"/api/v1/datasets/{dataset}/samples/{sample}/reviews", body)
        reviewed += 1
    return reviewed, corrected


def train(api, dataset, hypothesis):
    job = api.post(f"/api/v1/datasets/{dataset}/trainings", {"hypothesis": hypothesis})
    return api.done(job)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--dataset", default="loop")
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--taxonomy", required=True)
    parser.add_argument("--truth")
    parser.add_argument("--budget", type=int, default=50, help="samples to review, at most 200")
    parser.add_argument("--token", default=os.environ.get("TAMIS_TOKEN"))
    given = parser.parse_args()
    api = Tamis(given.url, given.token)
    name = given.dataset
    truth = None
    if given.truth:
        with open(given.truth, encoding="utf-8") as file:
            truth = json.load(file)

    imported = api.done(api.upload(name, given.annotations, given.taxonomy))
    print(f"imported {imported['added']} samples")
    before = train(api, name, "the labels as they came")
    scan = api.done(api.post(f"/api/v1/datasets/{name}/scans", {}))
    print(f"scanned {scan['labelled']} labels")
    reviewed, corrected = review(api, name, given.budget, truth)
    print(f"reviewed {reviewed}, corrected {corrected}")
    after = train(api, name, f"{corrected} labels corrected")
    print(f"mean F1 {before['metrics']['mean_f1']:.3f} -> {after['metrics']['mean_f1']:.3f}, each on the labels of its time")

    line = api.get(f"/api/v1/datasets/{name}/ledger", limit=1)["items"][0]
    if line["measured"]:
        gain = line["measured"]
        print(f"on the same samples and labels: {gain['gain']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})")
    else:
        print("the two trainings share too few held-out samples to be compared")
    print("next:")
    for action in api.get(f"/api/v1/datasets/{name}/next")["actions"]:
        predicted = action["predicted"]
        worth = f"{predicted['gain']:+.3f}" if predicted else "not known yet"
        print(f"  {action['action']} ({action['n']}): {worth}, {action['human_hours']:.1f} h of people")
    samples = api.get(f"/api/v1/datasets/{name}/samples", limit=3)["items"]
    ids = [s["external_id"] for s in samples]
    for answer in api.post(f"/api/v1/datasets/{name}/predict", {"samples": ids})["predictions"]:
        print(f"  {answer['sample']}: {answer['class']} ({answer['probability']:.0%})")


if __name__ == "__main__":
    main()
