#!/usr/bin/env python3
"""Times the main job of Tamis on a dataset: from an empty state folder to suspects, stage by stage.

    python3 benches/main_job.py --tamis target/debug/tamis --data DIR [--rows 100000]

DIR holds taxonomy.json, annotations.jsonl and the clips that it names. Wall is the clock; CPU and
peak memory are those of Tamis and every child (decoders, Postgres), read from /proc while it runs.
With --rows, also the import rate of that many generated metadata rows, and the start-up time of a
server whose state is there already. Prints JSON.
"""
import argparse
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path


def tree(root):
    """CPU ticks and resident KiB of every process started below `root` or in its sessions."""
    parents, stats = {}, {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            rss = int(Path(f"/proc/{entry}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
        parents[int(entry)] = int(fields[1])
        # user, system, and the same of children that were waited for
        stats[int(entry)] = (sum(map(int, fields[11:15])), int(fields[11]) + int(fields[12]), rss)
    below = {root}
    grown = True
    while grown:
        more = {p for p, parent in parents.items() if parent in below} - below
        grown = bool(more)
        below |= more
    return {p: stats[p] for p in below if p in stats}


def measured(command, env=None):
    """Runs a command; wall seconds, CPU seconds, peak MiB over its process tree, and its output."""
    began = time.perf_counter()
    before = os.times()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True)
    peak, stop = [0], threading.Event()

    def watch():
        while not stop.is_set():
            peak[0] = max(peak[0], sum(rss for _, _, rss in tree(child.pid).values()))
            stop.wait(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = child.communicate()
    stop.set()
    watcher.join()
    after = os.times()
    if child.returncode != 0:
        raise SystemExit(f"{command}: exit code {child.returncode}\n{output}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "wall_s": round(time.perf_counter() - began, 2),
        "cpu_s": round(cpu, 2),
        "peak_mib": peak[0] // 1024,
        "output": output,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tamis", required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=int, default=0)
    arguments = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o755)
        state = f"{scratch}/state"
        tamis = [arguments.tamis, "--state", state]
        if arguments.data:
            data = arguments.data
            run = tamis + ["import", "mix", "--json", "--taxonomy", str(data / "taxonomy.json")]
            run += ["--annotations", str(data / "annotations.jsonl"), "--media", str(data)]
            result["import_with_media"] = measured(run)
            counts = json.loads(result["import_with_media"].pop("output"))
            result["import_with_media"]["ready"] = counts["media_ready"]
            result["import_with_media"]["bad"] = counts["media_bad"]
            result["encode_and_scan"] = measured(tamis + ["scan", "mix", "--json"])
            result["encode_and_scan"].pop("output")
            result["scan_again"] = measured(tamis + ["scan", "mix", "--json"])
            result["scan_again"].pop("output")
        if arguments.rows:
            rows, tree_file = Path(scratch) / "rows.jsonl", Path(scratch) / "tree.json"
            tree_file.write_text(json.dumps({f"p{p}": [f"p{p}c{c}" for c in range(9)] for p in range(22)}))
            with rows.open("w") as out:
                for i in range(arguments.rows):
                    row = {
                        "id": str(i),
                        "title": f"第{i}期 标题 title {i * 7919 % 100000}",
                        "asr": "今天我们一起来看看这个视频 " * (i % 5),
                        "ocr": [{"time": 1.5, "text": f"字幕 {i}"}] * (i % 3),
                        "category_id": f"p{i % 22}c{i % 9}",
                    }
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
            run = tamis + ["import", "rows", "--json", "--taxonomy", str(tree_file), "--annotations", str(rows)]
            first = measured(run)
            first.pop("output")
            first["rows_per_s_of_the_command"] = round(arguments.rows / first["wall_s"])
            result[f"import_{arguments.rows}_rows"] = first
            again = measured(run)
            again.pop("output")
            result["the_same_again"] = again
            began = time.perf_counter()
            server = subprocess.Popen(tamis + ["serve", "--bind", "127.0.0.1:8199"], stdout=subprocess.DEVNULL)
            try:
                while time.perf_counter() - began < 60:
                    try:
                        urllib.request.urlopen("http://127.0.0.1:8199/readyz", timeout=1)
                        break
                    except OSError:
                        time.sleep(0.01)
                result["start_to_ready_s"] = round(time.perf_counter() - began, 2)
            finally:
                server.terminate()
                server.wait()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
