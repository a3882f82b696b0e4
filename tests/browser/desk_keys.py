"""The picker, several classes, own keys, and what must not be a key."""

from desk_steps import Desk
from watched import check, step

# typed -> the class that must come first
FINDS = {
    "曼德博": "mandelbrot",
    "mandebo": "mandelbrot",
    "mdb": "mandelbrot",
    "Mandel": "mandelbrot",
    "sets mandel": "mandelbrot",
    "mandlebrot": "mandelbrot",
    "mndlbrt": "mandelbrot",
    "caitiao": "bars",
    "ct": "bars",
    "bars colour": "bars",
    "jianbian": "gradient",
    "yuanbao": "cells",
    "yb zdj": None,
}
NAMES = {"mandelbrot": "Mandelbrot sets", "bars": "Colour bars", "gradient": "Gradients", "cells": "Cell automata"}


class Keys:
    def __init__(self, desk: Desk):
        self.desk, self.w = desk, desk.w
        self.page = desk.page

    def all(self):
        self.finds()
        self.several()
        self.no_keys()
        self.rebind()

    def typed(self, text: str) -> list[str]:
        self.page.locator("#pick").fill("")
        self.page.keyboard.type(text)
        return self.page.locator("#pick-list .class").all_inner_texts()

    def finds(self):
        step("the picker finds by Chinese, pinyin, initials, English, words in any order, gaps and slips")
        self.desk.open()
        self.page.keyboard.press("/")
        self.page.locator("#pick-list li").first.wait_for()
        for text, wanted in FINDS.items():
            if wanted is None:
                continue
            found = self.typed(text)
            check(found and found[0].startswith(NAMES[wanted]), f"{text!r} finds {found}")
        check("Mathematics" in self.page.locator("#pick-list li").first.inner_text(), "the path is not shown")
        self.typed("qqqqq")
        self.page.locator("#pick-list").get_by_text("No class fits").wait_for()
        self.typed("mdb")
        lease = self.page.locator("#card").get_attribute("data-lease")
        self.page.keyboard.press("Enter")
        self.desk.until("document.querySelector('#card')?.dataset.lease !== arg", lease)
        self.desk.sent()
        check(self.desk.reviews(1)[0]["classes"] == ["mandelbrot"], "Enter did not take the class")
        step("a class that was used lately comes first")
        self.desk.there()
        self.page.keyboard.press("/")
        self.page.locator("#pick-list li").first.wait_for()
        check("recent" in self.page.locator("#pick-list li").first.inner_text(), "no recent class on top")
        self.page.keyboard.press("Escape")

    def several(self):
        step("A chooses several classes, Enter confirms")
        was = self.desk.sample()
        lease = self.page.locator("#card").get_attribute("data-lease")
        self.page.keyboard.press("a")
        self.page.locator("#picker.several").wait_for()
        self.page.locator("#pick-list li").first.wait_for()
        self.typed("曼德")
        self.page.keyboard.press("Enter")
        check(self.page.locator("[data-confirm]").is_disabled(), "one class is enough")
        self.typed("caitiao")
        self.page.keyboard.press("Enter")
        self.page.locator(".chip").nth(1).wait_for()
        self.page.keyboard.press("Enter")
        self.desk.until("document.querySelector('#card')?.dataset.lease !== arg", lease)
        self.desk.sent()
        last = self.desk.reviews(1)[0]
        check((last["sample"], last["decision"]) == (was, "ambiguous"), f"decided: {last}")
        check(sorted(last["classes"]) == ["bars", "mandelbrot"], f"classes: {last['classes']}")

    def no_keys(self):
        step("no key while composing, with a modifier, held down, or in a field")
        self.desk.there()
        was, stood = self.desk.sample(), self.desk.standing()
        fire = "(set) => document.body.dispatchEvent(new KeyboardEvent('keydown', {bubbles: true, cancelable: true, ...set}))"
        for set_ in (
            {"key": "k", "isComposing": True},
            {"key": "Process", "keyCode": 229},
            {"key": "k", "keyCode": 229},
            {"key": "k", "ctrlKey": True},
            {"key": "k", "metaKey": True},
            {"key": "k", "altKey": True},
            {"key": "K", "shiftKey": True},
            {"key": "k", "repeat": True},
        ):
            self.page.evaluate(fire, set_)
        self.page.keyboard.press("/")
        self.page.keyboard.type("kux")
        self.page.keyboard.press("Escape")
        self.page.wait_for_timeout(300)
        check(self.desk.sample() == was and self.desk.standing() == stood, "something was decided")
        self.page.evaluate(fire, {"key": "K"})  # Caps Lock
        self.desk.until("document.querySelector('#card')?.dataset.sample !== arg", was)
        self.desk.sent()

    def rebind(self):
        step("keys can be given away: a conflict is told, swapping settles it, and it lasts")
        self.desk.open()
        self.page.keyboard.press("?")
        sheet = self.page.locator("dialog#keys[open]")
        sheet.locator("[data-action=keep] button").click()
        self.page.keyboard.press("5")
        sheet.get_by_text("cannot be given away").wait_for()
        self.page.keyboard.press("u")
        sheet.get_by_text("U is taken by").wait_for()
        sheet.get_by_role("button", name="Swap").click()
        sheet.get_by_text("now U").wait_for()
        sheet.get_by_role("button", name="Close").click()

        def labels():
            keys = [self.page.locator(f"#card .decide [data-decision={d}] kbd").first for d in ("keep", "unsure")]
            return [k.inner_text() for k in keys]

        check(labels() == ["U", "K"], f"on the buttons: {labels()}")
        was = self.desk.press("u")
        self.desk.sent()
        check(self.desk.standing()[0] == (was, "keep"), "U does not keep")
        self.page.evaluate("localStorage.clear()")
        with self.page.expect_response(lambda r: r.url.endswith("/account/settings")):
            self.desk.open()
        self.desk.until("document.querySelector('#card [data-decision=keep] kbd').innerText === 'U'")
        self.page.keyboard.press("?")
        sheet.get_by_role("button", name="as they came").click()
        sheet.get_by_role("button", name="Close").click()
        check(labels() == ["K", "U"], f"after the reset: {labels()}")
