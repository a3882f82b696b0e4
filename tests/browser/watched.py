"""A browser whose pages are watched: whatever a person would see as broken is collected in `faults`.

Faults: script errors, console errors and warnings, violations of the content security policy, requests that
leave the host, answers of 400 and above (unless expected), pages wider than the window.
"""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright

__all__ = ["WAIT", "Watched", "check", "find_browser", "step", "sync_playwright"]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
SIZES = [(1440, 900), (1024, 768)]
LOOKS = [("en", "light"), ("zh-CN", "dark")]
WAIT = 180_000  # milliseconds: no measure, only when to give up on a busy machine


def find_browser() -> str | None:
    named = os.environ.get("TAMIS_BROWSER")
    if named:
        return named if Path(named).exists() else shutil.which(named)
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or (MAC if Path(MAC).exists() else None)


def check(holds, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def step(text: str) -> None:
    print(f"- {text}", flush=True)


class Watched:
    """One browser context (its own cookies and storage) on the server at `base`."""

    def __init__(self, browser, base: str, lang: str = "en", options: dict | None = None):
        self.base, self.host = base.rstrip("/"), urlsplit(base).netloc
        self.faults: list[str] = []
        self.expected: set[int] = set()
        self.visited: set[str] = set()
        usual = {"viewport": {"width": 1440, "height": 900}, "locale": lang, "color_scheme": "light"}
        self.context = browser.new_context(accept_downloads=True, **{**usual, **(options or {})})
        self.context.set_default_timeout(60_000)
        self.context.add_init_script(
            "addEventListener('securitypolicyviolation', e =>"
            " console.error('CSP: ' + e.violatedDirective + ' ' + e.blockedURI))"
        )
        self.context.on("request", self._request)
        self.context.on("response", self._response)
        self.context.on("console", self._console)
        self.context.on("weberror", lambda e: self._fault(f"script error: {e.error}"))
        self.page = self.context.new_page()

    def _fault(self, text: str) -> None:
        self.faults.append(f"{self.page.url if self.context.pages else ''}: {text}")

    def _request(self, request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.host:
            self._fault(f"a request leaves the host: {request.url}")
        if "idempotency-key" in request.headers:
            secret = parts.path.startswith("/api/v1/account") or "/webhooks" in parts.path
            own = '"client_id"' in (request.post_data_buffer or b"")[:100_000].decode("utf-8", "replace")
            if request.method != "POST" or secret or own:
                self._fault(f"a key that the service does not need: {request.method} {request.url}")

    def _response(self, response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self._fault(f"{response.status} {response.request.method} {response.url}")

    def _console(self, message) -> None:
        told_by_status = "Failed to load resource" in message.text and self.expected
        # the software renderer complains of the browser's own screenshots and compositing
        of_renderer = "GL Driver Message" in message.text and "ReadPixels" in message.text
        if message.type in ("error", "warning") and not told_by_status and not of_renderer:
            self._fault(f"console {message.type}: {message.text}")

    @contextmanager
    def expecting(self, *statuses: int):
        self.expected = set(statuses)
        yield
        self.expected = set()

    def until(self, what: str, arg=None) -> None:
        """Waits until the expression `what` holds (`arg` is in it). Asked from outside: a wait inside the page
        would evaluate text there, which its content security policy forbids."""
        left = WAIT // 50
        while True:
            try:
                if self.page.evaluate(f"arg => Boolean({what})", arg):
                    return
            except PlaywrightError as e:
                if "context was destroyed" not in e.message:  # a page is just being left
                    raise
            left -= 1
            assert left > 0, f"never: {what}"
            self.page.wait_for_timeout(50)

    @contextmanager
    def careless(self):
        """What is seen meanwhile is no fault: the network is off on purpose."""
        before = list(self.faults)
        yield
        self.faults = before

    def go(self, path: str) -> None:
        self.page.goto(self.base + path)
        self.settle()

    def settle(self) -> None:
        """After a navigation: scripts have run, and nothing sticks out of the window."""
        self.page.wait_for_load_state("load")
        self.visited.add(urlsplit(self.page.url).path)
        self.until("document.documentElement.classList.contains('scripted')")
        self.fits()

    def fits(self) -> None:
        wide = self.page.evaluate(
            """() => {
              const w = document.documentElement.clientWidth;
              if (document.documentElement.scrollWidth <= w) return '';
              const out = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > w + 1);
              return out.slice(-3).map(e => `${e.tagName}.${e.className?.baseVal ?? e.className}`).join(' ') || 'something';
            }"""
        )
        if wide:
            self._fault(f"wider than the window of {self.page.viewport_size['width']} px: {wide}")

    def look(self, lang: str, theme: str) -> None:
        """Language and appearance, as the switches in the header remember them."""
        self.context.add_cookies(
            [{"name": n, "value": v, "url": self.base} for n, v in (("lang", lang), ("theme", theme))]
        )

    def screenshots(self, folder: Path, name: str, path: str, prepare=None) -> None:
        """The page in every size and look: `NAME-LANG-THEME-WIDTH.png`."""
        for lang, theme in LOOKS:
            self.look(lang, theme)
            for width, height in SIZES:
                self.page.set_viewport_size({"width": width, "height": height})
                self.page.goto(self.base + path)
                self.page.wait_for_load_state("networkidle")
                if prepare:
                    prepare()
                if not path.startswith("/api/"):
                    self.fits()
                self.page.screenshot(path=folder / f"{name}-{lang[:2]}-{theme}-{width}.png", full_page=True)
        self.page.set_viewport_size({"width": 1440, "height": 900})
        self.look("en", "auto")

    def assert_clean(self) -> None:
        assert not self.faults, "\n  ".join(["the browser saw:", *dict.fromkeys(self.faults)])
