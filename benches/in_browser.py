#!/usr/bin/env python3
"""What an annotator waits for in Chromium, against a real server, at any size of the dataset.

Starts `tamis serve` as benches/reviewing.py does and seeds the same dataset; with --clips its samples play the clips
of that folder in turn. Then, signed in, in a window of 1440 x 900:

  first page    bytes on the wire of the desk when nothing is cached, clips and pictures told apart
  keys          Keep is pressed again and again, --pause seconds after the last: from the event of the key to the
                next card painted, and to the first frame of its clip presented
  map           a map of as many points as there are samples: time to its first frame, frames a second and points
                drawn of each while it is moved and zoomed, the longest frame, drawing round all and choosing them
  bulk          half of the samples relabelled in one action: preview, the job, undoing it; seconds and CPU

There is no graphics card: Chromium draws WebGL on the processor, in a process beside the page's.

    PYTHONPATH=.tamis/python python3 benches/in_browser.py --tamis target/release/tamis --samples 10000 1000000 \\
        --clips FOLDER
"""

import argparse
import hashlib
import json
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from array import array
from pathlib import Path

from playwright.sync_api import sync_playwright
from reviewing import SEED, Client, Server, cpu_s, percentile

CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)

# Times of one key: of its event, of the first painting after the next card came, of the first frame of its clip.
WATCH = """
window.bench = { from: null, card: null, frame: null, sample: document.querySelector('#card')?.dataset.sample };
addEventListener('keydown', (e) => { if (e.key === 'k') Object.assign(bench, { from: e.timeStamp, card: null, frame: null }); }, true);
new MutationObserver(() => {
  const card = document.querySelector('#card');
  if (!card || card.dataset.sample === bench.sample) return;
  bench.sample = card.dataset.sample;
  requestAnimationFrame(() => setTimeout(() => { bench.card = performance.now(); }));
  const video = card.querySelector('#player video');
  if (!video) return;
  video.requestVideoFrameCallback((now) => { bench.frame = performance.now(); });
}).observe(document.body, { childList: true, subtree: true });
"""

# Moves and zooms for three seconds; rate of frames, the longest, points drawn in the last.
MOVE = """() => new Promise((done) => {
  const canvas = document.getElementById('points'), stage = document.getElementById('stage');
  const first = Number(stage.dataset.frames), begin = performance.now();
  let last = begin, longest = 0, k = 0;
  const next = () => {
    const now = performance.now();
    if (k++) longest = Math.max(longest, now - last);
    last = now;
    if (now - begin > 3000) return done({ frames_per_s: (Number(stage.dataset.frames) - first) / ((now - begin) / 1000),
      longest_ms: longest, drawn: Number(stage.dataset.drawn) });
    canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: k % 60 < 30 ? -40 : 40, clientX: 500, clientY: 450, cancelable: true }));
    requestAnimationFrame(next);
  };
  next();
})"""


def put_clips(server, options, name):
    """Every clip once in the blobs of the server, and every sample with one of them."""
    clips = sorted(Path(options.clips).glob("*.mp4"))[: options.distinct]
    if not clips:
        sys.exit(f"{options.clips}: no *.mp4")
    rows = []
    for i, clip in enumerate(clips):
        media = f"bench/{i}.mp4"
        poster = f"bench/{i}.jpg"
        for blob in (media, poster):
            (server.state / "blobs" / blob).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, server.state / "blobs" / media)
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(clip), "-frames:v", "1", "-vf", "scale=320:-2"]
        subprocess.run([*command, str(server.state / "blobs" / poster)], check=True)
        rows.append(f"({i}, '{media}', '{poster}')")
    server.sql(
        options.psql,
        f"""update samples s set media_state = 'ready', media_type = 'video/mp4', media_blob = c.media, poster_blob = c.poster,
              width = 320, height = 240, fps = 25, duration_ms = 5000
            from (values {", ".join(rows)}) c(i, media, poster)
            where s.dataset_id = (select id from datasets where name = '{name}') and s.id % {len(rows)} = c.i;
            vacuum analyze samples;""",
    )


def put_map(server, options, name, n):
    """A map of 300 clouds, as its job writes it."""
    first = int(server.sql(options.psql, f"select min(s.id) from samples s join datasets d on d.id = s.dataset_id where d.name = '{name}'"))
    draw = random.Random(7)
    middles = [(draw.uniform(4e3, 61e3), draw.uniform(4e3, 61e3), draw.uniform(300, 1800)) for _ in range(300)]
    at = [middles[int(300 * i / n)] for i in range(n)]  # by class, as imports come
    place = lambda c: array("H", (max(0, min(65535, round(draw.gauss(m[c], m[2])))) for m in at))
    blob = f"maps/bench/{n}.points"
    target = server.state / "blobs" / blob
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"TMP1" + struct.pack("<Iq", n, first) + array("I", range(n)).tobytes() + place(0).tobytes() + place(1).tobytes())
    server.sql(
        options.psql,
        f"""insert into maps (id, dataset_id, method, n_samples, blob, facts)
            select '{uuid.uuid4()}', id, 'umap', {n}, '{blob}', '{{"fields": [], "neighbours_kept": 0.5}}' from datasets where name = '{name}';""",
    )


def first_page(browser, server, name):
    """KiB on the wire, by kind, of a desk that was never seen before."""
    context = signed_in(browser, server)
    page = context.new_page()
    kinds, of = {}, {}
    cdp = context.new_cdp_session(page)
    cdp.send("Network.enable")
    cdp.on("Network.responseReceived", lambda e: of.update({e["requestId"]: e["type"]}))
    cdp.on("Network.loadingFinished", lambda e: kinds.update({of.get(e["requestId"]): kinds.get(of.get(e["requestId"]), 0) + e["encodedDataLength"]}))
    page.goto(f"{server.base}/datasets/{name}/review")
    page.wait_for_selector("#card")
    page.wait_for_timeout(1500)
    context.close()
    kib = {kind: round(n / 1024, 1) for kind, n in kinds.items()}
    seen = ("Media", "Image")
    return {"page_kib": round(sum(n for k, n in kib.items() if k not in seen), 1), "by_kind_kib": kib}


def until(page, holds, timeout_s=120):
    """Playwright's own waiting needs `eval`, which the pages forbid."""
    end = time.perf_counter() + timeout_s
    while not page.evaluate(holds):
        if time.perf_counter() > end:
            raise TimeoutError(holds)
        time.sleep(0.01)


def signed_in(browser, server):
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    key, value = server.session["cookie"].split("=", 1)
    context.add_cookies([{"name": key, "value": value, "url": server.base}])
    return context


def keys(browser, server, name, n, pause, clips):
    context = signed_in(browser, server)
    page = context.new_page()
    page.goto(f"{server.base}/datasets/{name}/review")
    page.wait_for_selector("#card")
    page.wait_for_timeout(2000)
    page.evaluate(WATCH)
    cards, frames = [], []
    for _ in range(n):
        page.keyboard.press("k")
        until(page, f"bench.card !== null && ({'false' if clips else 'true'} || bench.frame !== null)")
        card, frame = page.evaluate("[bench.card - bench.from, bench.frame && bench.frame - bench.from]")
        cards.append(card / 1000)
        if frame:
            frames.append(frame / 1000)
        page.wait_for_timeout(pause * 1000)
    context.close()
    of = lambda values: {f"p{round(100 * p)}_ms": round(percentile(values, p), 1) for p in (0.5, 0.95)}
    return {"card painted": of(cards), **({"first frame": of(frames)} if frames else {})}


def the_map(browser, server, name):
    context = signed_in(browser, server)
    page = context.new_page()
    page.set_default_timeout(120_000)
    begin = time.perf_counter()
    page.goto(f"{server.base}/datasets/{name}/map")
    until(page, "Number(document.querySelector('#stage')?.dataset.frames) > 0")
    shown = time.perf_counter() - begin
    page.wait_for_timeout(1500)
    out = {"renderer": page.get_attribute("#stage", "data-renderer"), "first_frame_s": round(shown, 2)}
    for turn in ("first 3 s", "next 3 s"):
        out[turn] = {k: round(v, 1) for k, v in page.evaluate(MOVE).items()}
    page.wait_for_timeout(2000)
    page.locator("#points").focus()
    page.keyboard.press("0")
    page.locator("[data-tool=box]").click()
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3, steps=4)
    begin = time.perf_counter()
    page.mouse.up()
    until(page, "!document.querySelector('[data-grid]').disabled")
    out["drawn_round_s"] = round(time.perf_counter() - begin, 2)
    out["selected"] = page.inner_text("#selected")
    begin = time.perf_counter()
    page.click("[data-grid]")
    try:
        page.wait_for_url("**/grid?selection=*", timeout=60_000)
        out["grid_s"] = round(time.perf_counter() - begin, 2)
    except Exception:  # noqa: BLE001 - what the page says is the figure
        out["grid"] = page.inner_text("#selected")
    context.close()
    return out


def bulk(server, name):
    """Half of the samples, as a filter would name them, through the REST API."""
    client, out = Client(server), {}
    base = f"/api/v1/datasets/{name}/bulk"

    def timed(what, work):
        begin, own, postgres = time.perf_counter(), cpu_s(server.process.pid), server.postgres_cpu_s()
        answer = work()
        out[what] = {"s": round(time.perf_counter() - begin, 2), "server_cpu_s": round(cpu_s(server.process.pid) - own, 2),
                     "postgres_cpu_s": round(server.postgres_cpu_s() - postgres, 2)}
        return answer

    def job(answer):
        answer = json.loads(answer)
        while answer.get("job"):
            state = json.loads(client.call("GET", f"/api/v1/jobs/{answer['job']['id']}"))["state"]
            if state not in ("queued", "running"):
                if state != "succeeded":
                    raise RuntimeError(f"the job {state}")
                break
            time.sleep(0.2)
        return answer

    body = {"client_id": str(uuid.uuid4()), "action": "relabel", "class": "c7", "set": {"of": "suspects", "all": True}}
    preview = json.loads(timed("preview", lambda: client.call("POST", base, {**body, "dry_run": True})))["preview"]
    out["samples"] = preview["samples"]
    done = timed("done", lambda: job(client.call("POST", base, {**body, "expected": preview["samples"]})))
    timed("undone", lambda: job(client.call("POST", f"{base}/{done['bulk']['id']}/undo", {})))
    return out


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tamis", default="target/release/tamis")
    arguments.add_argument("--psql", default=shutil.which("psql"))
    arguments.add_argument("--browser", default=CHROMIUM)
    arguments.add_argument("--samples", type=int, nargs="+", default=[10_000, 1_000_000])
    arguments.add_argument("--clips", help="folder of *.mp4 that the samples play")
    arguments.add_argument("--distinct", type=int, default=200, help="of them, how many")
    arguments.add_argument("--keys", type=int, default=60)
    arguments.add_argument("--pause", type=float, nargs="+", default=[1.0, 0.0], help="seconds between keys, a run each")
    arguments.add_argument("--only", nargs="+", default=["first", "keys", "map", "bulk"])
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="tamis-in-browser-") as state, sync_playwright() as play:
        server = Server(options.tamis, state, False)
        server.base = f"http://{server.host}:{server.port}"
        browser = play.chromium.launch(executable_path=options.browser, args=["--no-sandbox", "--no-first-run", "--autoplay-policy=no-user-gesture-required"])
        try:
            for n in options.samples:
                name = f"bench-{n}"
                server.sql(options.psql, SEED.format(id=uuid.uuid4(), name=name, n=n, scan=uuid.uuid4(), snapshot=hashlib.sha256(name.encode()).hexdigest()))
                if options.clips:
                    put_clips(server, options, name)
                print(f"{n} samples seeded", file=sys.stderr)
                found = {}
                if "first" in options.only:
                    found["first page"] = first_page(browser, server, name)
                if "keys" in options.only:
                    for pause in options.pause:
                        found[f"keys, {pause} s between"] = keys(browser, server, name, options.keys, pause, options.clips)
                if "map" in options.only:
                    put_map(server, options, name, n)
                    found["map"] = the_map(browser, server, name)
                if "bulk" in options.only:
                    found["bulk"] = bulk(server, name)
                print(json.dumps({n: found}, indent=1), flush=True)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main()
