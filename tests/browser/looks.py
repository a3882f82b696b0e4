"""How the pages look and read: friendly errors, themes, Chinese, and a screenshot of every page."""

import re
from pathlib import Path

import data
from watched import Watched, check, step

HAN = re.compile(r"[\u4e00-\u9fff]")
# words that stay as they are in Chinese
SAME = re.compile(r"Tamis|API|English|JSONL?|CSV|ASR|OCR|ONNX|WeChat|SHA-256|jsonl|csv|parquet|[\d.,%×↔–→←=≠●○+\-/·:?]+")
# names of datasets, ids of classes
NAMES = {"broken", *data.CLASSES}
# What a page says in words of its own: headings, buttons, columns, options, reasons, states, the log.
WORDS = """() => {
  const own = 'h1, h2, h3, button, a.button, th[scope=col], dt, legend, label, nav a, option,'
    + ' .state, .status, .hint, .lead, .reason, .votes li, .muted, .note, .log span';
  const text = (e) => {
    const copy = e.cloneNode(true);
    copy.querySelectorAll('kbd, code, select, input').forEach((x) => x.remove());
    return copy.textContent.trim();
  };
  const seen = [...document.querySelectorAll(own)].filter((e) => e.checkVisibility() && !e.closest('.code, .crumbs, [lang=en]:not(html)'));
  return [document.title.replace(' · Tamis', ''), ...seen.map(text)];
}"""


class Looks:
    """On the dataset that `job` has made; `training` is the address of its training."""

    def __init__(self, job, training: str, shots: Path):
        self.job, self.training, self.shots = job, training, shots
        self.w: Watched = job.w
        self.page = job.page

    def unknown(self):
        step("an address that leads nowhere says so kindly")
        with self.w.expecting(404):
            self.w.go("/datasets/no-such-dataset")
            check(self.page.locator("h1").inner_text() == "Nothing here", self.page.locator("h1").inner_text())
            self.page.get_by_role("link", name="To the datasets").click()
            self.page.wait_for_url(self.w.base + "/")
            self.w.screenshots(self.shots, "error", "/datasets/no-such-dataset")

    def theme(self):
        step("the dark theme stays")
        self.w.look("en", "auto")
        self.w.go("/")
        light = self.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        self.page.locator("[data-theme-choice=dark]").click()
        dark = self.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        check(light != dark, "dark looks like light")
        self.w.go("/jobs")
        check(self.page.locator("html").get_attribute("data-theme") == "dark", "the next page is not dark")
        check(self.page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == dark, "another dark")

    def chinese(self):
        step("everything is there in Chinese")
        self.w.go("/")
        self.page.locator("a[hreflang='zh-CN']").click()
        self.w.until("document.documentElement.lang === 'zh-CN'")
        self.w.go(f"/datasets/{data.NAME}/suspects?status=open&all=true")
        sample = self.page.locator("a.title").first.get_attribute("href")
        here = f"/datasets/{data.NAME}"
        self.w.go("/jobs")
        jobs = [a.get_attribute("href") for a in self.page.locator("tbody th a").all()]
        paths = ["/", "/import", here, f"{here}/suspects", f"{here}/samples", sample, "/jobs", *jobs, self.training]
        titles = {data.row(clip)["title"] for clip in data.ids()}
        for path in paths:
            self.w.go(path)
            check(self.page.locator("html").get_attribute("lang") == "zh-CN", f"{path} is not in Chinese")
            for word in self.page.evaluate(WORDS):
                own = word.replace(data.NAME, "")
                left = "" if own in titles else SAME.sub("", own)
                if re.search(r"[A-Za-z]{3}", left) and not HAN.search(left) and left.strip() not in NAMES:
                    self.w.faults.append(f"{path}: not in Chinese: {word!r}")
        step("a decision in Chinese")
        self.w.go(sample)
        check(self.page.locator(".choice-button.keep .verb").inner_text().strip() == "保留", "the keep button")
        self.job.plays()
        self.job.decide(lambda: self.page.keyboard.press("k"))
        check("保留" in self.page.locator("#last").inner_text(), self.page.locator("#last").inner_text())
        self.w.go(sample)
        self.page.locator(".history").get_by_text("保留").first.wait_for()

    def gallery(self):
        step("screenshots of every page, both languages, themes and sizes")
        self.w.go(f"/datasets/{data.NAME}/suspects?all=true")
        links = [a.get_attribute("href") for a in self.page.locator("a.title").all()]
        self.w.go("/jobs")
        job = self.page.locator("tbody th a").first.get_attribute("href")

        def take(*page):
            self.w.screenshots(self.shots, *page)

        def pick():
            self.page.keyboard.press("/")
            self.page.locator("#pick-list li").first.wait_for()

        take("datasets", "/")
        take("import", "/import")
        take("dataset", f"/datasets/{data.NAME}")
        take("dataset-unscanned", "/datasets/broken")
        take("suspects", f"/datasets/{data.NAME}/suspects")
        take("samples", f"/datasets/{data.NAME}/samples")
        take("samples-none", f"/datasets/{data.NAME}/samples?missing=bad_media")
        take("suspects-none", f"/datasets/{data.NAME}/suspects?status=other")
        take("suspects-unscanned", "/datasets/broken/suspects")
        take("sample-decided", links[0])
        take("sample", links[8])
        take("sample-picker", links[8], pick)
        take("sample-keys", links[8], lambda: self.page.keyboard.press("?"))
        take("jobs", "/jobs")
        take("job", job)
        take("training", self.training)
        take("api-docs", "/api/docs")
