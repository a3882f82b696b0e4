"""What must never be lost or doubled: cut networks, lost answers, tabs, ended leases, ended sessions."""

import data
from desk_steps import API, HERE, Desk
from watched import check, step

PASSWORD = "a long password"


class Losses:
    def __init__(self, desk: Desk):
        self.desk, self.w = desk, desk.w
        self.page = desk.page

    def before_accounts(self):
        self.cut()
        self.lost_answer()
        self.busy_server()
        self.refused()
        self.tabs()
        self.ended_lease()

    def once_each(self, decided: list[tuple[str, str]]):
        """Just these are the newest, each once."""
        newest = self.desk.reviews(len(decided))
        got = [(r["sample"], r["decision"]) for r in newest]
        check(got == decided[::-1], f"decided {decided}, the server has {got}")
        ids = [r["client_id"] for r in self.desk.reviews()]
        check(len(ids) == len(set(ids)), "a decision is there twice")

    def cut(self):
        step("decisions made without a network are kept and sent, once each, in their order")
        self.desk.open()
        self.desk.ahead()
        with self.w.careless():
            self.w.context.set_offline(True)
            decided = [(self.desk.press("u"), "unsure"), (self.desk.press("k"), "keep")]
            self.page.locator("#outbox").get_by_text("2 decisions").wait_for()
            step("- an undo without a network shows the sample again")
            self.page.keyboard.press("z")
            self.desk.until("document.querySelector('#card')?.dataset.sample === arg", decided[1][0])
            decided[1] = (self.desk.press("b"), "bad_media")
            self.w.context.set_offline(False)
            self.page.evaluate("dispatchEvent(new Event('online'))")
            self.desk.sent()
        self.once_each(decided)
        self.desk.there()

    def lost_answer(self):
        step("an answer that is lost on the way doubles nothing, also after a reload")
        self.desk.open()
        lost = []

        def lose(route):
            if len(lost) < 2:
                lost.append(route.fetch().status)
                return route.abort()
            return route.continue_()

        with self.w.careless():
            self.page.route("**/reviews", lose)
            decided = [(self.desk.press("k"), "keep")]
            self.desk.until("!document.querySelector('#outbox').hidden")
            self.w.go(HERE)
            self.desk.sent()
            self.page.unroute("**/reviews")
        check(lost[0] == 201 and set(lost) <= {200, 201}, f"the server answered {lost}")
        self.once_each(decided)

    def busy_server(self):
        step("429 and 503 are waited out as long as the server says")
        self.desk.open()
        answers = [(429, "slow_down"), (503, "unavailable")]

        def busy(route):
            if not answers:
                return route.continue_()
            status, code = answers.pop(0)
            return route.fulfill(status=status, headers={"Retry-After": "1"}, json={"code": code, "detail": code})

        with self.w.careless():
            self.page.route("**/reviews", busy)
            decided = [(self.desk.press("k"), "keep")]
            self.desk.until("document.querySelector('#outbox').hidden")
            self.page.unroute("**/reviews")
        check(not answers, "the server was not asked again")
        self.once_each(decided)

    def refused(self):
        step("a decision that is refused for good is shown with the way back to its sample")
        self.desk.open()
        with self.w.careless():
            self.page.route("**/reviews", lambda r: r.fulfill(status=422, json={"code": "no", "detail": "it may not be"}))
            was = self.desk.press("k")
            line = self.page.locator("#outbox")
            line.get_by_text("it may not be").wait_for()
            self.page.unroute("**/reviews")
        check(line.locator("a").get_attribute("href").endswith(f"/samples/{was}"), "the link leads elsewhere")
        self.w.go("/jobs")
        self.page.locator("#outbox").get_by_text("it may not be").wait_for()
        self.page.locator("#outbox button").click()
        self.desk.sent()

    def tabs(self):
        step("two tabs, and one that was duplicated, show different samples")
        self.desk.open()
        with self.w.context.expect_page() as opened:
            # with its opener a tab begins with a copy of the session storage
            self.page.evaluate("open(location.href)")
        copy, other = opened.value, self.w.context.new_page()
        other.goto(self.w.base + HERE)
        for page in (copy, other):
            self.desk.there(page)
        shown = [self.desk.sample(p) for p in (self.page, copy, other)]
        check(len(set(shown)) == 3, f"shown: {shown}")
        ahead = {self.desk.press("k", p) for p in (self.page, copy, other) for _ in range(2)}
        check(len(ahead) == 6, f"decided by three tabs: {ahead}")
        for page in (self.page, copy, other):
            self.desk.sent(page)
        copy.close()
        other.close()

    def ended_lease(self):
        step("a lease that ends while one looks: another sample, a quiet word, and nothing typed is lost")
        # frees what earlier pages held ahead
        self.w.go("/jobs")
        self.page.clock.install()
        self.desk.open()
        was, lease = self.desk.sample(), self.page.locator("#card").get_attribute("data-lease")
        self.page.locator("#comment").fill("half a thought")
        self.page.locator("#main").focus()
        api = self.page.request
        api.post(f"{self.w.base}{API}/queue/leases/{lease}/release", data={"skip": True})
        for holder in range(20):
            body = {"holder": f"00000000-0000-4000-8000-0000000000{holder:02}", "count": 4, "author": "eve"}
            items = api.post(f"{self.w.base}{API}/queue/draw", data=body).json()["items"]
            if not items or was in [i["sample"] for i in items]:
                break
        check(was in [i["sample"] for i in items], "eve did not get the sample")
        with self.w.expecting(409):
            self.page.clock.run_for(60_000)
            self.page.locator("#word").get_by_text("with somebody else").wait_for()
        check(self.page.locator("#card").count() == 0 or self.desk.sample() != was, "it is still shown")
        self.desk.sent()
        kept = self.desk.get(f"/samples/{was}/comments")["items"]
        check([c["text"] for c in kept] == ["half a thought"], f"comments: {kept}")
        self.page.close()
        self.w.page = self.page = self.w.context.new_page()

    # -- with accounts ---------------------------------------------------------------------------------

    def sessions(self, code: str):
        step("the first account is made; the queue is this person's now")
        self.w.go(f"/setup?code={code}")
        self.page.get_by_label("Name").fill("ada")
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.locator("main form button").click()
        self.page.wait_for_url(self.w.base + "/")
        self.ended_session()

    def sign_in(self, page):
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.locator("main form button").click()

    def ended_session(self):
        step("the session ends in the middle of a decision: it waits, the page says why, and it is sent as this person")
        self.desk.open()
        self.desk.ahead()
        with self.w.careless():
            self.w.context.clear_cookies(name="tamis_session")
            decided = [(self.desk.press("k"), "keep")]
            banner = self.page.locator("#banner")
            banner.get_by_text("1 decision waits").wait_for()
            with self.w.context.expect_page() as opened:
                banner.get_by_role("link", name="in a new tab").click()
            door = opened.value
            self.sign_in(door)
            door.wait_for_url("**" + HERE)
            self.page.bring_to_front()
            self.page.evaluate("dispatchEvent(new Event('focus'))")
            self.desk.sent()
            banner.wait_for(state="hidden")
            door.close()
            # the page goes on without being loaded again
            decided.append((self.desk.press("k"), "keep"))
            self.desk.sent()
        self.once_each(decided)
        check({r["author"] for r in self.desk.reviews(2)} == {"ada"}, "another author")

        step("what one person decided is not sent by the next one")
        token = self.page.locator("meta[name=form-token]").get_attribute("content")
        made = self.page.request.post(
            f"{self.w.base}/api/v1/accounts",
            headers={"X-Form-Token": token},
            data={"name": "bob", "password": PASSWORD, "admin": True},
        )
        check(made.ok, f"no account: {made.status} {made.text()}")
        self.desk.ahead()
        with self.w.careless():
            self.w.context.clear_cookies(name="tamis_session")
            waits = self.desk.press("u")
            self.page.locator("#banner").get_by_text("1 decision waits").wait_for()
            self.page.locator("#banner").get_by_role("link", name="Sign in").first.click()
            self.page.get_by_label("Name").fill("bob")
            self.page.get_by_label("Password").fill(PASSWORD)
            self.page.locator("main form button").click()
            self.page.wait_for_url("**" + HERE)
            self.w.go(f"/datasets/{data.NAME}")
            self.page.locator("#outbox").get_by_text("of another person").wait_for()
            check(waits not in [r["sample"] for r in self.desk.reviews(1)], "sent by bob")
            self.w.context.clear_cookies(name="tamis_session")
            self.w.go("/sign-in")
            self.sign_in(self.page)
            self.page.wait_for_url(self.w.base + "/")
            self.desk.sent()
        last = self.desk.reviews(1)[0]
        check((last["sample"], last["decision"], last["author"]) == (waits, "unsure", "ada"), f"the last: {last}")
