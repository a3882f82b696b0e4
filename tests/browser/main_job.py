"""The main job as a person does it in a browser: import, scan, suspects, fix, export.

    main_job.py BASE_URL DATA_FOLDER [--screenshots DIR]

BASE_URL is a running `tamis serve` without a dataset named "shapes"; clips are drawn into DATA_FOLDER. Exit
code 0 when all holds, 77 when the browser or its driver is missing, 1 with the first thing that does not.
"""

import argparse
import json
import re
import sys
import tempfile
import traceback
from pathlib import Path

import data

SKIPPED = 77
try:
    import watched
    from looks import Looks
    from bulk_page import bulk
    from rules_page import rules
    from watched import WAIT, Watched, check, step, sync_playwright
except ImportError as e:
    print(f"SKIPPED: {e} (scripts/setup --test installs it)")
    sys.exit(SKIPPED)


class Job:
    """The steps, in order; each begins where the one before ended."""

    def __init__(self, w: Watched, folder: Path, shots: Path):
        self.w, self.page, self.shots = w, w.page, shots
        self.files = data.make(folder)

    # -- import --------------------------------------------------------------------------------------

    def empty_house(self):
        step("an empty service says how to begin")
        self.w.go("/")
        check(self.page.title() == "Datasets · Tamis", self.page.title())
        check(self.page.locator("html").get_attribute("lang") == "en", "the page is not in English")
        check(self.page.locator("tbody tr").count() == 0, "there are datasets already")
        self.w.screenshots(self.shots, "datasets-empty", "/")
        self.w.go("/")
        self.page.get_by_role("link", name="Import a dataset").click()
        self.page.wait_for_url("**/import")
        self.w.settle()

    def fill_import(self, name: str, annotations: Path, media: Path | None):
        self.page.get_by_label("Name of the dataset").fill(name)
        self.page.locator("input[type=file][name=taxonomy]").set_input_files(self.files["taxonomy"])
        self.page.get_by_label("Annotations").first.set_input_files(annotations)
        if media:
            self.page.locator("input[type=file][name=media]").set_input_files(media)
        else:
            self.page.get_by_label("None: texts only").check()

    def start_import(self, state: str):
        self.page.get_by_role("button", name="Start the import").click()
        self.page.locator(f"#import-progress .state.{state}").wait_for(timeout=WAIT)

    def bad_rows(self):
        step("a bad row stops an import, and file, line, field and reason are shown")
        self.w.go("/import")
        self.page.get_by_role("button", name="Start the import").click()
        check(self.page.locator("#import-progress .note.bad").is_visible(), "an empty form is taken")
        self.fill_import("broken", self.files["bad"], None)
        self.start_import("failed")
        row = self.page.locator("#import-errors tbody tr")
        row.wait_for()
        check(row.count() == 1, f"{row.count()} rows were refused")
        file, line, field, reason = row.locator("td").all_inner_texts()
        check("bad rows.jsonl" in file, f"the file is called {file!r}")
        check(line == "3", f"the line is {line!r}")
        check(field == "label", f"the field is {field!r}")
        check("no-such-class" in reason, f"the reason is {reason!r}")
        check(self.page.locator("#import-progress a.button.main").count() == 0, "a failed import leads to a dataset")
        with self.page.expect_download() as download:
            self.page.get_by_role("link", name="Download all").click()
        refused = [json.loads(x) for x in Path(download.value.path()).read_text("utf-8").splitlines()]
        check(len(refused) == 1 and refused[0]["line"] == 3, f"downloaded: {refused}")
        failed = self.page.locator("#import-progress .job-line > a").first.get_attribute("href")
        self.w.screenshots(self.shots, "job-failed", failed)

        step("the same with good rows only")
        self.w.go("/import")
        self.fill_import("broken", self.files["bad"], None)
        self.page.get_by_label("Take the good rows").check()
        self.start_import("succeeded")
        self.page.locator("#import-errors tbody tr").wait_for()
        self.page.get_by_role("link", name="To the dataset").click()
        self.page.wait_for_url("**/datasets/broken")
        self.w.settle()
        check(self.fact("Samples") == "5", f"{self.fact('Samples')} samples of 5 good rows")

    def fact(self, name: str) -> str:
        card = self.page.locator("dl.cards .card").filter(has=self.page.get_by_text(name, exact=True))
        return card.locator(".figure").inner_text()

    def import_clips(self):
        step("taxonomy, annotations and a zip of clips are uploaded; progress is live")
        self.w.go("/import")
        self.fill_import(data.NAME, self.files["annotations"], self.files["media"])
        with self.page.expect_request(lambda r: re.search(r"/api/v1/jobs/[^/]+/events", r.url)):
            self.start_import("succeeded")
        self.page.get_by_role("link", name="To the dataset").click()
        self.page.wait_for_url(f"**/datasets/{data.NAME}")
        self.w.settle()
        check(self.page.get_by_role("heading", level=1).inner_text() == data.NAME, "another dataset is shown")
        n = str(len(data.ids()))
        check(self.fact("Samples") == n and self.fact("Labelled") == n, f"{self.fact('Samples')} samples")
        check(self.fact("Reviewed") == "0", "reviewed before anybody looked")

    # -- scan ----------------------------------------------------------------------------------------

    def run_job(self, button: str, then: str):
        self.page.get_by_role("button", name=button, exact=True).click()
        line = self.page.locator("#live .job-line").first
        line.locator(".state.succeeded").or_(line.locator(".state.failed")).wait_for(timeout=WAIT)
        check(line.locator(".state.succeeded").count() == 1, f"{button}: {line.inner_text()}")
        return line.get_by_role("link", name=then)

    def scan(self):
        step("the scan button encodes and scans, and leads to the suspects")
        self.run_job("Scan", "See the suspects").click()
        self.page.wait_for_url("**/suspects?status=open")
        self.w.settle()

    def suspects(self):
        step("the planted errors are on top, each with its reason")
        rows = self.page.locator("#suspects tbody tr")
        tops = [rows.nth(i).locator("a.title").inner_text() for i in range(min(6, rows.count()))]
        planted = {data.row(clip)["title"]: clip for clip in data.WRONG}
        check(tops[0] in planted, f"the first suspect is {tops[0]!r}")
        found = [t for t in tops if t in planted]
        check(len(found) >= 3, f"of four planted errors only {found} are among the first six: {tops}")
        clip = planted[tops[0]]
        reason = rows.first.locator(".reason").inner_text()
        given, own = data.NAMES[data.WRONG[clip]]["en"], data.NAMES[clip.split("-")[0]]["en"]
        check(given in reason and own in reason, f"{clip}: the reason names not both {given} and {own}: {reason!r}")
        check(rows.first.locator(".given").inner_text().find(given) >= 0, "given label missing")
        check(rows.first.locator(".suggested").inner_text().find(own) >= 0, "suggested label missing")
        check(rows.first.locator(".votes li.yes").count() >= 1, "no detector agrees")
        ranks = [int(x) for x in self.page.locator("td.rank").all_inner_texts()]
        check(ranks == sorted(ranks), f"not in rank order: {ranks}")

        self.page.locator("select[name=class]").select_option(data.WRONG[clip])
        self.page.wait_for_url(f"**class={data.WRONG[clip]}*")
        self.w.settle()
        check(rows.first.locator("a.title").inner_text() == tops[0], "filtered by its class, the suspect is gone")
        for labels in self.page.locator("#suspects td.labels").all_inner_texts():
            check(given in labels, f"the filter {given} shows {labels}")
        self.page.get_by_role("link", name="Clear").click()
        self.page.wait_for_url("**/suspects")
        self.w.go(f"/datasets/{data.NAME}/suspects?status=open")
        self.page.locator("a.title").first.click()
        self.page.locator("#review").wait_for()
        self.w.settle()

    # -- fix -----------------------------------------------------------------------------------------

    def plays(self):
        video = self.page.locator("#player video")
        video.wait_for()
        self.w.until("document.querySelector('#player video').currentTime > 0.2")
        state = video.evaluate("v => ({muted: v.muted, loop: v.loop, paused: v.paused, length: v.duration})")
        check(state["muted"] and state["loop"] and not state["paused"], f"the player: {state}")
        check(1.5 < state["length"] < 2.5, f"a clip of 2 s lasts {state['length']} s")

    def sample(self) -> str:
        return self.page.locator("#review .ids code").inner_text()

    def decide(self, act) -> str:
        """Decides the sample that is shown; returns its id once the next one is there."""
        was = self.sample()
        with self.page.expect_response(lambda r: r.url.endswith("/reviews") and r.request.method == "POST") as sent:
            act()
        check(sent.value.status in (200, 201), f"the decision on {was} was answered {sent.value.status}")
        self.w.until("document.querySelector('#review .ids code')?.innerText !== arg", arg=was)
        self.w.until("document.querySelector('#outbox').hidden")
        return was

    def fix(self) -> dict[str, tuple[str, str]]:
        """Returns what was decided: id -> (kind, label)."""
        keys = self.page.keyboard
        decided = {}
        step("the clip plays, muted and looping; S takes the suggestion")
        self.plays()
        first = self.page.url
        own = self.page.locator("[data-suggestion]").get_attribute("data-class")
        check(own == self.sample().split("-")[0], f"{self.sample()}: the suggestion is {own}")
        decided[self.decide(lambda: keys.press("s"))] = ("relabel", own)
        check(self.page.url != first, "the address is still the first sample's")
        check("Relabelled" in self.page.locator("#last").inner_text(), "the last decision is not shown")

        step("the next one plays at once; K keeps its label")
        self.plays()
        kept = data.row(self.sample())["label"]
        decided[self.decide(lambda: keys.press("k"))] = ("keep", kept)

        step("on the next, / and typing choose another class")
        self.plays()

        def choose():
            keys.press("/")
            self.page.locator("#pick:focus").wait_for()
            self.page.locator("#pick-list li").first.wait_for()
            keys.type("曼德博", delay=20)
            self.w.until("document.querySelectorAll('#pick-list li').length === 1")
            check("Mandelbrot" in self.page.locator("#pick-list li").inner_text(), "the Chinese name finds no class")
            keys.press("Enter")

        decided[self.decide(choose)] = ("relabel", "mandelbrot")
        self.plays()

        step("after a reload the history tells who decided what")
        self.w.go(first.removeprefix(self.w.base))
        history = self.page.locator(".history li").all_inner_texts()
        check(len(history) == 2, f"the history: {history}")
        check(any("Relabelled" in h and data.NAMES[own]["en"] in h for h in history), f"the history: {history}")
        check(self.page.locator(".status.relabelled").first.is_visible(), "the status is not shown")
        return decided

    def offline(self) -> str:
        step("a decision made offline is kept and sent later")
        self.w.go(f"/datasets/{data.NAME}/suspects?status=open&all=true")
        self.page.locator("a.title").first.click()
        self.page.locator("#review").wait_for()
        self.w.settle()
        self.page.wait_for_load_state("networkidle")  # the next sample has been fetched ahead
        was = self.sample()
        with self.w.careless():
            self.w.context.set_offline(True)
            self.page.keyboard.press("u")
            self.page.locator("#outbox").get_by_text("1 decision").wait_for()
            with self.page.expect_response(lambda r: r.url.endswith("/reviews") and r.ok):
                self.w.context.set_offline(False)
            self.w.until("document.querySelector('#outbox').hidden")
        return was

    def by_keyboard(self):
        step("Tab reaches every decision, and the focus is seen")
        self.w.go(f"/datasets/{data.NAME}/suspects?status=open&all=true")
        self.page.locator("a.title").first.click()
        self.page.locator("#review").wait_for()
        self.w.settle()
        self.page.evaluate("document.activeElement.blur()")
        wanted = {"keep", "unsure", "out_of_taxonomy", "bad_media", "pick", "comment"}
        first = None
        for _ in range(80):
            self.page.keyboard.press("Tab")
            at = self.page.evaluate(
                """() => {
                  const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
                  const ring = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== 'none';
                  // the browser's own controls of a video draw their own ring
                  return {name: e.dataset.decision || e.id || e.className || e.textContent.trim() || e.tagName,
                          ring: ring || e.tagName === 'VIDEO', seen: r.width > 0 && r.bottom > 0 && r.top < innerHeight};
                }"""
            )
            first = first or at["name"]
            check(at["ring"] and at["seen"], f"the focus on {at['name']!r} is not seen: {at}")
            wanted.discard(at["name"])
            if not wanted:
                break
        check(not wanted, f"Tab does not reach {wanted}")
        check(first == "skip", f"Tab begins at {first!r}, not at the link that skips to the content")
        self.page.keyboard.press("Shift+Tab")
        self.page.keyboard.press("?")
        check(self.page.locator("dialog#keys[open]").is_visible(), "? shows no keys")
        self.page.keyboard.press("Escape")

    # -- export --------------------------------------------------------------------------------------

    def export(self, decided: dict[str, tuple[str, str]]):
        step("the export button makes a file that holds the corrections")
        self.w.go(f"/datasets/{data.NAME}")
        self.page.get_by_role("button", name="Export").first.click()
        form = self.page.locator("#export-form")
        form.locator("select").select_option("jsonl")
        form.get_by_role("button").click()
        line = self.page.locator("#live .job-line").first
        link = line.get_by_role("link", name="Download")
        link.wait_for(timeout=WAIT)
        with self.page.expect_download() as download:
            link.click()
        check(download.value.suggested_filename.endswith(".jsonl"), f"file {download.value.suggested_filename}")
        rows = [json.loads(x) for x in Path(download.value.path()).read_text("utf-8").splitlines()]
        rows = {row["id"]: row for row in rows}
        check(sorted(rows) == sorted(data.ids()), f"{len(rows)} rows of {len(data.ids())}")
        for clip, row in rows.items():
            given = data.row(clip)["label"]
            check(row["given_label"] == given, f"{clip}: given label {row['given_label']!r}, not {given!r}")
            label = decided[clip][1] if clip in decided else given
            check(row["label"] == label, f"{clip}: label {row['label']!r}, not {label!r}")
            check(bool(row["decided_by"]) == (clip in decided), f"{clip}: decided by {row['decided_by']!r}")
            by = "annotator" if clip in decided else "import"
            check(row["label_source"] == by, f"{clip}: the label's source is {row['label_source']!r}, not {by!r}")
        check(min(row["rank"] for row in rows.values() if row["rank"] is not None) == 1, "no rank 1")

    def train(self):
        step("training ends with scores")
        self.w.go(f"/datasets/{data.NAME}")
        self.page.get_by_role("button", name="Train", exact=True).click()
        self.run_job("Start training", "See the scores").click()
        self.page.wait_for_url("**/trainings/*")
        self.w.settle()
        scores = self.page.locator("dl.cards .figure").all_inner_texts()
        check(scores and all(0 <= float(s.rstrip("%")) <= 100 for s in scores), f"the scores: {scores}")
        return self.page.url.removeprefix(self.w.base)


def run(browser, base: str, folder: Path, shots: Path) -> None:
    w = Watched(browser, base)
    try:
        job = Job(w, folder, shots)
        job.empty_house()
        job.bad_rows()
        job.import_clips()
        job.scan()
        job.suspects()
        decided = job.fix()
        job.export(decided)
        job.offline()
        job.by_keyboard()
        training = job.train()
        rules(job, data.NAME)
        bulk(job, data.NAME)
        looks = Looks(job, training, shots)
        looks.unknown()
        looks.theme()
        looks.chinese()
        looks.gallery()
        w.assert_clean()
    except Exception:
        w.page.screenshot(path=shots / "failed.png")
        print(f"at {w.page.url}; see {shots / 'failed.png'}", *dict.fromkeys(w.faults), sep="\n  ", file=sys.stderr)
        raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--screenshots", type=Path)
    args = parser.parse_args()
    program = watched.find_browser()
    if not program:
        print("SKIPPED: no chromium or google-chrome found (scripts/setup --test installs one; TAMIS_BROWSER names one)")
        return SKIPPED
    shots = args.screenshots or Path(tempfile.mkdtemp(prefix="tamis-screenshots-"))
    shots.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program, headless=True, args=watched.FLAGS)
        try:
            run(browser, args.base, args.folder, shots)
        except Exception:
            traceback.print_exc()
            return 1
        finally:
            browser.close()
    print(f"all of it works; screenshots in {shots}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
