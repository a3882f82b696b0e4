"""Deciding on the reviewing screen: one key, one decision, the next clip plays; undo; the picker."""

import data
from watched import WAIT, Watched, check, step

HERE = f"/datasets/{data.NAME}/review"
API = f"/api/v1/datasets/{data.NAME}"
FIFTY = 50
# how many entries the browser keeps until the server has them
KEPT = """() => new Promise((resolve, reject) => {
  const open = indexedDB.open('tamis', 1);
  open.onerror = () => reject(open.error);
  open.onsuccess = () => {
    const count = open.result.transaction('outbox').objectStore('outbox').count();
    count.onsuccess = () => { open.result.close(); resolve(count.result); };
  };
})"""


class Desk:
    def __init__(self, w: Watched):
        self.w = w

    @property
    def page(self):
        return self.w.page

    # -- what is shown, and what the server has ------------------------------------------------------

    def open(self):
        self.w.go(HERE)
        self.there()

    def there(self, page=None):
        (page or self.page).locator("#review[data-state=card] #card").wait_for()

    def ahead(self):
        """The next two cards are in the browser: from here on the network is not needed for them."""
        self.until("Number(document.querySelector('#review').dataset.ahead) >= 2")

    def sample(self, page=None) -> str:
        return (page or self.page).locator("#card").get_attribute("data-sample")

    def press(self, key: str, page=None) -> str:
        """Presses a key that decides; returns what was decided once another sample is shown."""
        page = page or self.page
        was, lease = self.sample(page), page.locator("#card").get_attribute("data-lease")
        page.keyboard.press(key)
        self.until("document.querySelector('#card')?.dataset.lease !== arg", lease, page)
        self.there(page)
        return was

    def until(self, what: str, arg=None, page=None):
        page, own = page or self.page, self.w.page
        self.w.page = page
        try:
            self.w.until(what, arg)
        finally:
            self.w.page = own

    def sent(self, page=None):
        """Waits until the browser keeps nothing any more."""
        page = page or self.page
        for _ in range(WAIT // 50):
            if page.evaluate(KEPT) == 0:
                return self.until("document.querySelector('#outbox').hidden", page=page)
            page.wait_for_timeout(50)
        raise AssertionError("some decisions are never sent")

    def get(self, path: str):
        answer = self.page.request.get(self.w.base + API + path)
        check(answer.ok, f"{path}: {answer.status}")
        return answer.json()

    def reviews(self, limit: int = 200) -> list[dict]:
        """Newest first."""
        return self.get(f"/reviews?limit={limit}")["items"]

    def standing(self) -> list[tuple[str, str]]:
        return [(r["sample"], r["decision"]) for r in self.reviews() if not r["undone_at"]]

    def fill(self):
        """Everything is to be looked at, not the suspects alone."""
        body = {"order": "suspicion", "limit": 1000, "filter": {"all": True}}
        answer = self.page.request.post(f"{self.w.base}{API}/queue/fill", data=body)
        check(answer.ok, f"the queue was not filled: {answer.status} {answer.text()}")

    # -- the loop ------------------------------------------------------------------------------------

    def plays(self):
        self.until("document.querySelector('#player video')?.currentTime > 0.1")
        state = self.page.locator("#player video").evaluate("v => ({muted: v.muted, paused: v.paused, loop: v.loop})")
        check(state == {"muted": True, "paused": False, "loop": True}, f"the clip: {state}")

    def player(self):
        step("the player steps by the clip's own frames, and remembers loop and speed")
        self.open()
        self.plays()
        self.page.keyboard.press("p")
        self.until("document.querySelector('#player video').paused")
        self.page.evaluate(
            """() => {
              const v = document.querySelector('#player video');
              const seen = (_, frame) => { window.shownAt = frame.mediaTime; v.requestVideoFrameCallback(seen); };
              v.requestVideoFrameCallback(seen);
              v.currentTime = 0.55;
            }"""
        )
        frame = 1 / 12
        self.until("window.shownAt !== undefined && Math.abs(window.shownAt - 0.5) < 0.01")
        for key, at in ((".", 7), (".", 8), (",", 7), (",", 6)):
            self.page.keyboard.press(key)
            self.until(f"Math.abs(window.shownAt - {at * frame}) < 0.01")
        self.page.keyboard.press("]")
        self.page.keyboard.press("l")
        self.press("n")
        state = self.page.locator("#player video").evaluate("v => ({loop: v.loop, speed: v.playbackRate})")
        check(state == {"loop": False, "speed": 1.5}, f"the next clip: {state}")
        self.page.keyboard.press("[")
        self.page.keyboard.press("l")

    def undo_of_fifty(self):
        step(f"{FIFTY} decisions, all taken back, across samples and a reload")
        self.open()
        first = self.sample()
        decided = [self.press("k") for _ in range(FIFTY)]
        check(len(set(decided)) == FIFTY, f"{len(set(decided))} samples in {FIFTY} decisions")
        self.sent()
        check([s for s, _ in self.standing()] == decided[::-1], "the server has other decisions")
        for back in (decided[: FIFTY // 2 - 1 : -1], decided[FIFTY // 2 - 1 :: -1]):
            for sample in back:
                self.page.keyboard.press("z")
                self.until("document.querySelector('#card')?.dataset.sample === arg", sample)
            self.sent()
            self.w.go(HERE)
            self.there()
        check(self.sample() == first, f"{self.sample()} is shown, not the first one")
        check(self.standing() == [], f"still standing: {self.standing()}")
        self.page.keyboard.press("z")
        self.page.locator("#word").get_by_text("nothing to take back").wait_for()

    def by_key(self):
        step("one key, one decision: the next clip plays, and each decision is told and kept")
        self.open()
        self.plays()
        made = []
        wanted = [("k", "keep"), ("u", "unsure"), ("o", "out_of_taxonomy"), ("b", "bad_media"), ("x", "exclude")]
        for key, decision in wanted:
            made.append((self.press(key), decision))
            self.plays()
        while self.page.locator("[data-suggestion]").count() == 0:
            made.append((self.press("k"), "keep"))
        own = self.page.locator("[data-suggestion]").get_attribute("data-class")
        made.append((self.press("s"), "relabel"))
        self.sent()
        check(self.standing() == made[::-1], f"decided {made}, kept {self.standing()[::-1]}")
        check(self.reviews()[0]["classes"] == [own], "the suggestion was not taken")
        check("Relabelled" in self.page.locator("#last").inner_text(), "the last decision is not shown")
        said = self.page.locator("#announce").text_content()
        check(self.page.locator("#card").get_attribute("data-title") in said, f"announced: {said!r}")
        self.recent(made)

    def recent(self, made):
        step("the last ten are listed; one of them is taken back there, another is opened")
        self.page.keyboard.press("h")
        rows = self.page.locator("#recent li")
        check(rows.count() == min(10, len(self.reviews())), f"{rows.count()} decisions in the list")
        sample = made[-3][0]
        rows.nth(2).get_by_role("button").click()
        self.until("document.querySelector('#card')?.dataset.sample === arg", sample)
        self.sent()
        check(sample not in [s for s, _ in self.standing()], "it still stands")
        check("taken back" in rows.nth(2).inner_text(), "the list does not say so")
        check(rows.nth(1).locator("a").get_attribute("href").endswith(f"/samples/{made[-2][0]}"), "it leads elsewhere")
        self.page.keyboard.press("h")

    def candidates(self):
        step("a digit takes the candidate of that number, but seeks while the player has the focus")
        self.open()
        self.page.locator("#player video").focus()
        self.page.keyboard.press("5")
        self.until("Math.abs(document.querySelector('#player video').currentTime - 1) < 0.7")
        self.page.locator("#main").focus()
        choice = self.page.locator("[data-candidate='2']")
        wanted = choice.get_attribute("data-class") or choice.get_attribute("data-id")
        was = self.press("2")
        self.sent()
        last = self.reviews(1)[0]
        check(last["sample"] == was, "another sample was decided")
        check(last["classes"] == [wanted] or last["decision"] == "keep", f"2 is {wanted}, decided {last}")

    def comments_and_skips(self):
        step("C comments, N skips: the sample is not decided and what was typed is kept")
        self.open()
        self.page.keyboard.press("c")
        self.page.keyboard.type("kszu is no decision here")
        self.page.keyboard.press("Enter")
        stood = self.standing()
        skipped = self.press("n")
        self.sent()
        check(self.standing() == stood, "skipping decided")
        kept = self.get(f"/samples/{skipped}/comments")["items"]
        check([c["text"] for c in kept] == ["kszu is no decision here"], f"comments: {kept}")
        self.page.keyboard.press("c")
        self.page.keyboard.type("with the decision")
        self.page.keyboard.press("Enter")
        self.press("k")
        self.sent()
        check(self.reviews(1)[0]["comment"] == "with the decision", "the comment is lost")
