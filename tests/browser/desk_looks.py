"""The reviewing screen for fingers, for eyes and for screen readers: swipes, sizes, themes, Chinese, axe-core."""

from pathlib import Path

import data
from desk_steps import HERE, Desk
from watched import Watched, check, step

PHONE = {"width": 390, "height": 844}
GRAVE = ("serious", "critical")
THEMES = ["light", "dark", "contrast"]


class Screens:
    def __init__(self, desk: Desk, browser, axe: Path | None, shots: Path):
        self.desk, self.w, self.browser, self.axe, self.shots = desk, desk.w, browser, axe, shots

    def all(self):
        self.chinese()
        self.phone()
        self.gallery()
        self.browsing()
        if self.axe:
            self.accessible()
        else:
            step("no axe-core: accessibility is not checked (scripts/setup --test brings it)")

    def chinese(self):
        step("the screen, its keys and its words in Chinese")
        self.w.look("zh-CN", "auto")
        self.desk.open()
        page = self.w.page
        self.desk.press("k")
        self.desk.sent()
        check("保留" in page.locator("#last").inner_text(), page.locator("#last").inner_text())
        page.keyboard.press("z")
        page.locator("#word").get_by_text("已撤销").wait_for()
        page.keyboard.press("?")
        check("采用建议" in page.locator("dialog#keys").inner_text(), "the sheet is not in Chinese")
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("mdb")
        page.locator("#pick-list").get_by_text("曼德博集合").wait_for()
        page.keyboard.press("Escape")
        self.w.look("en", "auto")

    # -- fingers ---------------------------------------------------------------------------------------

    def swipe(self, page, by: tuple[int, int], back: bool = False) -> str:
        """Drags from the middle of the clip; returns what was said while dragging."""
        cdp = page.context.new_cdp_session(page)
        box = page.locator("#player video").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

        def touch(kind, at=None):
            points = [{"x": at[0], "y": at[1]}] if at else []
            cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            page.wait_for_timeout(20)

        touch("touchStart", (x, y))
        for i in range(1, 9):
            touch("touchMove", (x + by[0] * i / 8, y + by[1] * i / 8))
        word = page.locator(".swipe-word")
        said = word.inner_text() if word.is_visible() else ""
        if back:
            touch("touchMove", (x + by[0] / 20, y))
        touch("touchEnd")
        return said

    def phone(self):
        step("on a phone: right keeps, left takes the suggestion, up skips, half way does nothing")
        w = Watched(self.browser, self.w.base, options={"viewport": PHONE, "has_touch": True, "is_mobile": True})
        desk = Desk(w)
        desk.open()
        w.fits()

        def swiped(by, words):
            lease = w.page.locator("#card").get_attribute("data-lease")
            was = desk.sample()
            said = self.swipe(w.page, by)
            check(words in said, f"said while dragging: {said!r}")
            desk.until("document.querySelector('#card')?.dataset.lease !== arg", lease)
            desk.there()
            desk.sent()
            return was

        stood = desk.standing()
        was = desk.sample()
        self.swipe(w.page, (150, 0), back=True)
        w.page.wait_for_timeout(300)
        check(desk.sample() == was and desk.standing() == stood, "half a swipe decided")
        was = swiped((150, 4), "Keep")
        check(desk.standing()[0] == (was, "keep"), "right does not keep")
        while w.page.locator("[data-suggestion]").count() == 0:
            swiped((150, 4), "Keep")
        was = swiped((-150, 4), "Change to")
        check(desk.standing()[0] == (was, "relabel"), "left does not take the suggestion")
        was = swiped((4, -120), "Skip")
        check(was not in [s for s, _ in desk.standing()], "skipping decided")
        sizes = w.page.evaluate(
            "[...document.querySelectorAll('#card .decide button')].filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect().height)"
        )
        check(min(sizes) >= 44, f"buttons too small for fingers: {sizes}")
        for theme in THEMES:
            w.look("zh-CN" if theme == "dark" else "en", theme)
            desk.open()
            desk.plays()
            w.fits()
            w.page.screenshot(path=self.shots / f"review-{theme}-390.png", full_page=True)
        self.w.faults.extend(w.faults)
        w.context.close()

    # -- eyes ------------------------------------------------------------------------------------------

    def gallery(self):
        step("screenshots of the reviewing screen")
        page = self.w.page

        def shown():
            self.desk.there()
            self.desk.plays()

        def several():
            shown()
            page.keyboard.press("a")
            page.locator("#pick-list li").first.wait_for()

        def listed():
            shown()
            page.keyboard.press("h")

        def keys():
            shown()
            page.keyboard.press("?")

        for name, prepare in (("review", shown), ("review-several", several), ("review-recent", listed), ("review-keys", keys)):
            self.w.screenshots(self.shots, name, HERE, prepare)
        self.w.look("en", "contrast")
        self.w.go(HERE)
        shown()
        page.screenshot(path=self.shots / "review-en-contrast-1440.png", full_page=True)
        self.w.look("en", "auto")

    def browsing(self):
        step("the sample's own page walks the list with the arrows, and decides without a lease")
        page = self.w.page
        self.w.go(f"/datasets/{data.NAME}/suspects?all=true")
        page.locator("a.title").first.click()
        page.locator("#card").wait_for()
        self.w.settle()
        first = self.desk.sample()
        page.keyboard.press("ArrowRight")
        self.desk.until("document.querySelector('#card').dataset.sample !== arg", first)
        page.keyboard.press("ArrowLeft")
        self.desk.until("document.querySelector('#card').dataset.sample === arg", first)
        page.keyboard.press("k")
        self.desk.until("document.querySelector('#card').dataset.sample !== arg", first)
        self.desk.sent()
        check(self.desk.standing()[0] == (first, "keep"), "it is not decided")
        page.keyboard.press("z")
        self.desk.until("document.querySelector('#card').dataset.sample === arg", first)
        self.desk.sent()
        check(first not in [s for s, _ in self.desk.standing()[:1]], "it is not taken back")

    # -- screen readers ----------------------------------------------------------------------------------

    def accessible(self):
        step("axe-core finds nothing serious on the reviewing screen, a sample's page, the suspects and the work around them")
        page, source = self.w.page, self.axe.read_text("utf-8")
        dataset = f"/datasets/{data.NAME}"
        self.w.go(f"/datasets/{data.NAME}/suspects?all=true")
        sample = page.locator("a.title").first.get_attribute("href")
        around = [f"{dataset}/{p}" for p in ("suspects", "work", "quality", "guide", f"guide/{data.CLASSES[0]}", "trail")]
        for path in (HERE, sample, *around):
            for theme in THEMES:
                self.w.look("en", theme)
                self.w.go(path)
                if path == HERE:
                    self.desk.there()
                self.grave(source, f"{path} ({theme})")
                if path == HERE:
                    page.keyboard.press("?")
                    self.grave(source, f"the sheet of keys ({theme})")
        self.w.look("en", "auto")

    def of_people(self):
        """With accounts: whoever leads is signed in."""
        if not self.axe:
            return
        step("axe-core finds nothing serious on the pages of accounts, teams and people's quality, nor at the door")
        source, dataset = self.axe.read_text("utf-8"), f"/datasets/{data.NAME}"
        paths = ["/accounts", "/account", f"{dataset}/team", f"{dataset}/work", f"{dataset}/quality", f"{dataset}/guide"]
        for lang, theme in (("en", "light"), ("zh-CN", "dark"), ("en", "contrast")):
            self.w.look(lang, theme)
            for path in paths:
                self.w.go(path)
                self.grave(source, f"{path} ({lang}, {theme})")
        self.w.context.clear_cookies(name="tamis_session")
        self.w.go("/sign-in")
        self.grave(source, "/sign-in")
        self.w.look("en", "auto")

    def grave(self, source: str, where: str):
        page = self.w.page
        page.evaluate(source)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
        for v in found:
            if v["impact"] in GRAVE:
                at = "; ".join(str(n["target"][0]) for n in v["nodes"][:3])
                self.w.faults.append(f"{where}: axe {v['id']} ({v['impact']}): {v['help']}: {at}")
