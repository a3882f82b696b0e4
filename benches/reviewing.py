#!/usr/bin/env python3
"""What reviewing costs the server, at any size of the dataset.

Starts `tamis serve` on its embedded Postgres, seeds a dataset of N samples with a finished scan straight into
that database (200 classes under 23 parents, 12 neighbours a sample, no media), then measures over HTTP:

  first page    of the suspects, and pages ever deeper: wall time, CPU of the server and of Postgres
  decisions     draw and decide, with the card between and without, by 1 and by 4 people at once: the same, and
                that nobody got a sample twice
  statements    with --statements: how many a draw, a card and a decision send to the database, by the server's log
                (BEGIN and COMMIT are not among them); times are not to be compared with those of a quiet log

All is done as the first admin, signed in as a browser would be.

CPU is that of the server process from /proc/PID/stat, Postgres beside it (all of its processes), so that a
busy machine blurs little. Only the standard library is used; linux only.

    python3 benches/reviewing.py --tamis target/release/tamis --samples 10000 1000000 --people 1 4
"""

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")

SEED = r"""
begin;
insert into datasets (id, name, taxonomy_hash) values ('{id}', '{name}', md5('{name}'));
insert into taxonomy_nodes (dataset_id, position, node, names, parent, level, root, class_index)
select '{id}', i, 'p' || i, jsonb_build_object('en', 'Parent ' || i), null, 1, 'p' || i, null from generate_series(0, 22) i;
insert into taxonomy_nodes (dataset_id, position, node, names, parent, level, root, class_index)
select '{id}', 23 + i, 'c' || i, jsonb_build_object('en', 'Class ' || i), 'p' || i % 23, 2, 'p' || i % 23, i from generate_series(0, 199) i;
insert into samples (dataset_id, external_id, title, asr, split)
select '{id}', 's' || i, 'title of sample ' || i, repeat('words that somebody said ', 16), 'train' from generate_series(1, {n}) i;
insert into labels (dataset_id, sample_id, class, source, author)
select dataset_id, id, 'c' || id % 200, 'import', 'bench' from samples where dataset_id = '{id}';
insert into snapshots (dataset_id, id, author, n_labelled, n_changed, blob)
values ('{id}', '{snapshot}', 'bench', {n}, 0, 'snapshots/bench');
insert into scans (id, dataset_id, snapshot_id, n_samples, n_flagged, summary, scores_blob)
values ('{scan}', '{id}', '{snapshot}', {n}, {n} / 10, '{{}}', 'scores/bench');
create temporary table ranked on commit drop as
select id, row_number() over (order by hashint8(id))::int as rank from samples where dataset_id = '{id}';
insert into findings (scan_id, sample_id, rank, place, suspicion, flagged, given_class, suggested_class, suggested_p,
  self_confidence, normalized_margin, detectors, reason, neighbours, cluster)
select '{scan}', r.id, rank, rank, 1 - rank / ({n} + 1.0), rank <= {n} / 10, 'c' || r.id % 200, 'c' || (r.id + 23) % 200,
  0.9, 0.05, -0.85, '{{log_margin,neighbours}}',
  jsonb_build_object('given', 'c' || r.id % 200, 'suggested', 'c' || (r.id + 23) % 200, 'p_given', 0.05, 'p_suggested', 0.9,
    'neighbours_agree', 1, 'neighbours_suggested', 8, 'neighbours', 10, 'cluster_share', 0.1,
    'cluster_class', 'c' || (r.id + 23) % 200, 'cross_parent', false),
  (select jsonb_agg(jsonb_build_object('sample_id', f.first + (r.id - f.first + 7 * k) % {n}, 'similarity', 1 - k / 40.0))
   from generate_series(1, 12) k), rank % 400
from ranked r cross join (select min(id) as first from samples where dataset_id = '{id}') f;
insert into finding_issues (scan_id, sample_id, kind, rank, facts)
select '{scan}', id, 'label', rank, '{{"kind": "label"}}' from ranked where rank <= {n} / 10;
insert into issue_counts (scan_id, kind, detectors, cross_parent, n)
select '{scan}', 'label', '{{log_margin,neighbours}}', false, {n} / 10;
commit;
analyze samples; analyze labels; analyze current_labels; analyze findings; analyze finding_issues;
"""


def cpu_s(pid):
    """Seconds of CPU that a process has had, its ended children left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Server:
    """`tamis serve` on an embedded Postgres of its own."""

    def __init__(self, tamis, state, statements):
        env = {**os.environ, "TAMIS_SERVER__BIND": "127.0.0.1:0", "TAMIS_SERVER__REQUESTS_PER_MINUTE": "0"}
        env.pop("DATABASE_URL", None)
        self.log = Path(state) / "statements.log"
        if statements:
            env["TAMIS_LOG"] = "sqlx::query=debug"
        self.process = subprocess.Popen(
            [tamis, "serve", "--state", state], env=env, stdout=subprocess.PIPE, stderr=self.log.open("w"), text=True
        )
        self.host = None
        for line in self.process.stdout:
            if found := re.search(r"http://([\d.]+):(\d+)", line):
                self.host, self.port = found[1], int(found[2])
            if found := re.search(r"/setup\?code=(\w+)", line):
                break
        else:
            sys.exit("the server did not start")
        self.state = Path(state)
        self.session = self.sign_in(found[1])

    def sign_in(self, code):
        """The headers of a browser in which the first account was made."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        form = urllib.parse.urlencode({"code": code, "name": "ada", "password": "a long password"})
        connection.request("POST", "/setup", form, {"content-type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        answer.read()
        cookie = answer.getheader("set-cookie").split(";")[0]
        connection.request("GET", "/account", headers={"cookie": cookie})
        page = connection.getresponse().read().decode()
        return {"cookie": cookie, "x-form-token": re.search(r'name="form-token" content="(\w+)"', page)[1]}

    def statements(self):
        return sum("sqlx::query" in line for line in self.log.read_text("utf-8", "replace").splitlines())

    def postgres(self):
        """The postmaster and all of its processes."""
        (pid_file,) = self.state.rglob("postmaster.pid")
        postmaster = int(pid_file.read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def postgres_cpu_s(self):
        """Of those that live, and of those that have ended: the postmaster has waited for them."""
        processes = self.postgres()
        fields = Path(f"/proc/{processes[0]}/stat").read_text().rsplit(")", 1)[1].split()
        total = (int(fields[13]) + int(fields[14])) / TICK
        for pid in processes:
            try:
                total += cpu_s(pid)
            except OSError:
                pass
        return total

    def sql(self, psql, text):
        """What psql prints of it, without headings."""
        (pid_file,) = self.state.rglob("postmaster.pid")
        lines = pid_file.read_text().splitlines()
        env = {**os.environ, "PGPASSWORD": (self.state / "postgres" / "password").read_text().strip()}
        command = [psql, "-h", lines[4], "-p", lines[3], "-U", "tamis", "-d", "tamis", "-qAt", "-v", "ON_ERROR_STOP=1"]
        return subprocess.run(command, input=text, text=True, env=env, check=True, stdout=subprocess.PIPE).stdout.strip()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)


class Client:
    """One connection that stays open."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        self.session = server.session

    def call(self, method, path, body=None):
        headers = {**self.session, **({"content-type": "application/json"} if body is not None else {})}
        self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] * 1000


def measured(server, work, n):
    """Runs `work`, which answers with wall times; per-request figures."""
    own, postgres = cpu_s(server.process.pid), server.postgres_cpu_s()
    times = work()
    return {
        "n": len(times),
        "p50_ms": round(percentile(times, 0.5), 2),
        "p95_ms": round(percentile(times, 0.95), 2),
        "server_cpu_ms": round((cpu_s(server.process.pid) - own) / n * 1000, 2),
        "postgres_cpu_ms": round((server.postgres_cpu_s() - postgres) / n * 1000, 2),
    }


def pages(server, name, samples, repeats):
    client = Client(server)
    out = {}
    flagged = samples // 10
    for what, after in (("first", 0), ("in the middle", flagged // 2), ("last", flagged - 30)):
        path = f"/datasets/{name}/suspects?after={after}"

        def work(path=path):
            times = []
            for _ in range(repeats):
                start = time.perf_counter()
                client.call("GET", path)
                times.append(time.perf_counter() - start)
            return times

        work()
        out[what] = measured(server, work, repeats)
    return out


def decisions(server, name, people, each, seen, card):
    """Each person draws three ahead, looks at each card where `card`, decides."""
    times, lock, failures = [], threading.Lock(), []

    def person():
        try:
            client, holder = Client(server), str(uuid.uuid4())
            ahead, own = [], []
            for _ in range(each):
                start = time.perf_counter()
                body = {"holder": holder, "count": 3}
                ahead = json.loads(client.call("POST", f"/api/v1/datasets/{name}/queue/draw", body))["items"]
                item = ahead[0]
                if card:
                    client.call("GET", f"/datasets/{name}/review/{item['lease_id']}")
                review = {"client_id": str(uuid.uuid4()), "decision": "keep", "lease_id": item["lease_id"], "time_spent_ms": 900}
                client.call("POST", f"/api/v1/datasets/{name}/samples/{item['sample']}/reviews", review)
                own.append((time.perf_counter() - start, item["sample"]))
            with lock:
                times.extend(t for t, _ in own)
                seen.extend(s for _, s in own)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    def work():
        threads = [threading.Thread(target=person) for _ in range(people)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return times

    return measured(server, work, people * each)


def statements(server, name, repeats=20):
    """A mean of each kind of request."""
    client, holder, counts = Client(server), str(uuid.uuid4()), {"draw": 0, "card": 0, "decide": 0}

    def counted(what, *request):
        before = server.statements()
        answer = client.call(*request)
        time.sleep(0.05)  # the log is written behind
        counts[what] += (server.statements() - before) / repeats
        return answer

    for _ in range(repeats):
        drawn = counted("draw", "POST", f"/api/v1/datasets/{name}/queue/draw", {"holder": holder, "count": 3})
        item = json.loads(drawn)["items"][0]
        counted("card", "GET", f"/datasets/{name}/review/{item['lease_id']}")
        review = {"client_id": str(uuid.uuid4()), "decision": "relabel", "class": "c7", "lease_id": item["lease_id"]}
        counted("decide", "POST", f"/api/v1/datasets/{name}/samples/{item['sample']}/reviews", review)
    return {what: round(n, 1) for what, n in counts.items()}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tamis", default="target/release/tamis")
    arguments.add_argument("--psql", default=shutil.which("psql"))
    arguments.add_argument("--samples", type=int, nargs="+", default=[10_000, 1_000_000])
    arguments.add_argument("--people", type=int, nargs="+", default=[1, 4])
    arguments.add_argument("--each", type=int, default=200, help="decisions of each person")
    arguments.add_argument("--statements", action="store_true", help="count statements instead of times")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory(prefix="tamis-reviewing-") as state:
        server = Server(options.tamis, state, options.statements)
        try:
            for samples in options.samples:
                name, began = f"bench-{samples}", time.perf_counter()
                server.sql(options.psql, SEED.format(id=uuid.uuid4(), name=name, n=samples, scan=uuid.uuid4(), snapshot=uuid.uuid4().hex * 2))
                print(f"{samples} samples seeded in {time.perf_counter() - began:.0f} s", file=sys.stderr)
                if options.statements:
                    print(json.dumps({samples: statements(server, name)}))
                    continue
                found = {"suspects page": pages(server, name, samples, 50)}
                seen = []
                decisions(server, name, 1, 20, seen, True)
                for people in options.people:
                    for what, card in (("draw and decide", False), ("draw, card and decide", True)):
                        found[f"{what}, {people} at once"] = decisions(server, name, people, options.each, seen, card)
                found["handed out twice"] = len(seen) - len(set(seen))
                figures[samples] = found
                if not options.json:
                    print(json.dumps({samples: found}, indent=1))
        finally:
            server.stop()
    if options.json:
        print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
