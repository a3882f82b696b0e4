"""Many samples at once: tiles picked by keyboard, relabelled together and taken back; the map of the embeddings
made, drawn round, and, with 100,000 generated points, still moving."""

import json
import re
import struct
from random import Random

from watched import WAIT, check, step

POINTS = 100_000


def bulk(job, name: str) -> None:
    """`job` is the main job after its scan; `name` is the dataset. Labels are as before when it returns."""
    w, page = job.w, job.page
    labels = lambda: {s["external_id"]: s["current_class"] for s in job_samples(page, w, name)}
    step("three tiles are picked by keyboard, relabelled together, and taken back")
    before = labels()
    w.go(f"/datasets/{name}/suspects?all=true")
    page.get_by_role("link", name="As a grid").click()
    page.wait_for_url("**/grid?of=suspects*")
    w.settle()
    w.fits()
    boxes = page.locator("#grid input[type=checkbox]")
    check(boxes.count() > 10, f"{boxes.count()} tiles")
    keys = page.keyboard
    keys.press("ArrowRight")
    keys.press("Space")
    keys.press("Shift+ArrowRight")
    keys.press("Shift+ArrowRight")
    picked = lambda: page.locator("#picked").inner_text()
    check(picked() == "3 selected", picked())
    first = page.locator("#grid li.cell").first
    own = first.locator(".class").inner_text()
    w.until("document.querySelector('.tile.on video')?.currentTime > 0.1")
    keys.press("/")
    page.locator("#pick").type("mandel")
    page.locator("#pick-list li").first.wait_for()
    keys.press("Enter")
    dialog = page.locator("#confirm")
    dialog.wait_for()
    check("Relabel 3 samples" in dialog.locator("h2").inner_text(), dialog.inner_text())
    n = sum(int(x) for x in dialog.locator("tbody td:nth-child(2)").all_inner_texts())
    check(n == 3, f"the preview counts {n} samples")
    dialog.get_by_role("button", name="Cancel").click()
    check(labels() == before, "a decision that was not confirmed was made")
    keys.press("/")
    page.locator("#pick").type("mandel")
    page.locator("#pick-list li").first.wait_for()
    keys.press("Enter")
    dialog.locator("#confirm-yes").click()
    page.locator("#live .note.good").wait_for(timeout=WAIT)
    changed = {k for k, v in labels().items() if v != before[k]}
    check(0 < len(changed) <= 3 and all(labels()[k] == "mandelbrot" for k in changed), f"changed: {changed}")
    check(first.locator(".class").inner_text() == "Mandelbrot sets", "the tile does not show it")
    page.locator("#main").focus()
    keys.press("z")
    page.get_by_text("Taken back").first.wait_for(timeout=WAIT)
    check(labels() == before, "it was not taken back")
    check(first.locator(".class").inner_text() == own, "the tile does not show it")

    step("all of the filter but one")
    keys.press("a")
    boxes.first.uncheck()
    check(picked() == f"{boxes.count() - 1} selected", picked())
    keys.press("Escape")
    check(picked() == "Nothing selected", picked())
    w.screenshots(job.shots, "grid", f"/datasets/{name}/grid?of=suspects&all=true")
    the_map(job, name, len(before))


def job_samples(page, w, name: str) -> list[dict]:
    answer = page.request.get(f"{w.base}/api/v1/datasets/{name}/samples?limit=200")
    return answer.json()["items"]


def draw_round(page) -> None:
    """A rectangle over the whole map."""
    page.locator("[data-tool=box]").click()
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 4, box["y"] + 4)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 90, steps=4)
    page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] - 4, steps=6)
    page.mouse.up()


def the_map(job, name: str, n: int) -> None:
    w, page = job.w, job.page
    step("a map is made; what is drawn round becomes a grid")
    w.go(f"/datasets/{name}/map")
    page.get_by_role("button", name="Make the map").click()
    page.locator("#stage").wait_for(timeout=WAIT)
    drawn = "Number(document.querySelector('#stage')?.dataset.frames) > 0"
    w.until(drawn)
    w.settle()
    w.fits()
    check(page.locator("#legend-list li").count() >= 4, "no legend")
    draw_round(page)
    check(page.locator("#selected").inner_text() == f"{n} samples selected", page.locator("#selected").inner_text())
    page.get_by_role("button", name="Show as a grid").click()
    page.wait_for_url("**/grid?selection=*")
    w.settle()
    check(page.locator("#count").inner_text() == f"{n} samples", page.locator("#count").inner_text())
    w.screenshots(job.shots, "map", f"/datasets/{name}/map")

    step(f"{POINTS:,} points are drawn, moved and drawn round")
    random = Random(5)
    middles = [(random.uniform(9e3, 56e3), random.uniform(9e3, 56e3)) for _ in range(60)]
    at = [middles[i % 60] for i in range(POINTS)]
    place = lambda c: [max(0, min(65535, round(random.gauss(m[c], 2200)))) for m in at]
    points = b"TMP1" + struct.pack("<Iq", POINTS, 1) + struct.pack(f"<{POINTS}I", *range(POINTS))
    points += struct.pack(f"<{POINTS}H", *place(0)) + struct.pack(f"<{POINTS}H", *place(1))
    marks = b"TMF1" + struct.pack("<I", POINTS) + struct.pack(f"<{POINTS}H", *(i % 4 for i in range(POINTS)))
    marks += struct.pack(f"<{POINTS}H", *(i % 60 for i in range(POINTS))) + bytes(POINTS) * 2
    binary = {"content_type": "application/octet-stream"}
    page.route("**/maps/*/points", lambda route: route.fulfill(body=points, **binary))
    page.route("**/maps/*/marks", lambda route: route.fulfill(body=marks, **binary))
    sent = []
    selection = {"id": "00000000-0000-0000-0000-000000000000"}
    page.route("**/selections", lambda route: (sent.append(route.request.post_data), route.fulfill(json=selection)))
    grid = re.compile(r"/grid\?selection=")
    page.route(grid, lambda route: route.fulfill(content_type="text/html", body="<!doctype html><title>x</title>"))
    w.go(f"/datasets/{name}/map")
    w.until(drawn)
    rate = page.evaluate(
        """() => new Promise((done) => {
          const canvas = document.getElementById('points');
          const from = performance.now();
          let frames = 0;
          const next = () => {
            const now = performance.now();
            if (now - from > 3000) return done(frames / ((now - from) / 1000));
            frames++;
            canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: frames % 40 < 20 ? -30 : 30, clientX: 500, clientY: 400, cancelable: true }));
            requestAnimationFrame(next);
          };
          next();
        })"""
    )
    print(f"  {page.locator('#stage').get_attribute('data-renderer')}: {rate:.0f} frames a second", flush=True)
    page.locator("#points").focus()
    page.keyboard.press("0")
    draw_round(page)
    check(page.locator("#selected").inner_text() == f"{POINTS:,} samples selected", page.locator("#selected").inner_text())
    page.get_by_role("button", name="Show as a grid").click()
    page.wait_for_url("**/grid?selection=*")
    check(len(json.loads(sent[0])["samples"]) == POINTS, "not all of them were sent")
    for address in ("**/maps/*/points", "**/maps/*/marks", "**/selections", grid):
        page.unroute(address)
