"""The reviewing screen as a person uses it all day: keys, undo, picker, cut networks, tabs, sessions, fingers.

    reviewing.py BASE_URL DATA_FOLDER [--setup-code CODE] [--axe axe.min.js] [--screenshots DIR]

BASE_URL is a running `tamis serve` without datasets and accounts; CODE is what it printed to make the first
account with (without it the session tests are left out, without axe the accessibility checks). Exit codes as
main_job.py has them.
"""

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

SKIPPED = 77
try:
    import watched
    from desk_keys import Keys
    from desk_looks import Screens
    from desk_loss import Losses
    from desk_steps import Desk
    from main_job import Job
    from watched import Watched, sync_playwright
except ImportError as e:
    print(f"SKIPPED: {e} (scripts/setup --test installs it)")
    sys.exit(SKIPPED)


def run(browser, args, shots: Path) -> None:
    w = Watched(browser, args.base)
    try:
        job = Job(w, args.folder, shots)
        job.import_clips()
        job.scan()
        desk = Desk(w)
        desk.fill()
        desk.undo_of_fifty()
        desk.by_key()
        desk.player()
        desk.candidates()
        desk.comments_and_skips()
        Keys(desk).all()
        losses = Losses(desk)
        losses.before_accounts()
        screens = Screens(desk, browser, args.axe, shots)
        screens.all()
        if args.setup_code:
            losses.sessions(args.setup_code)
            screens.of_people()
        w.assert_clean()
    except Exception:
        w.page.screenshot(path=shots / "failed-reviewing.png")
        print(f"at {w.page.url}; see {shots / 'failed-reviewing.png'}", *dict.fromkeys(w.faults), sep="\n  ", file=sys.stderr)
        raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--setup-code")
    parser.add_argument("--axe", type=Path)
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
            run(browser, args, shots)
        except Exception:
            traceback.print_exc()
            return 1
        finally:
            browser.close()
    print(f"all of it works; screenshots in {shots}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
