"""Rules as a person uses them: a mistyped one, a preview, an application, and its undoing."""

from watched import WAIT, check, step


def rules(job, name: str) -> None:
    """`job` is the main job after its scan; `name` is the dataset. Labels are as before when it returns."""
    w, page = job.w, job.page
    step("a rule is mistyped, tried, applied and undone")
    w.go(f"/datasets/{name}")
    page.get_by_role("link", name="Rules").click()
    page.wait_for_url("**/rules")
    w.settle()
    check(page.locator(".examples a").count() == 2, "an empty list of rules gives no examples")
    page.get_by_label("Name", exact=True).fill("every clip")
    rule = page.get_by_label("Rule", exact=True)
    rule.fill("flag when rnk >= 1")
    page.get_by_role("button", name="Preview").click()
    page.locator("#fault").wait_for()
    check(rule.input_value() == "flag when rnk >= 1", "what was typed is gone")
    check("Line 1, column 11" in page.locator("#fault").inner_text(), page.locator("#fault").inner_text())
    check("rank" in page.locator("#fault").inner_text(), "the nearest field is not named")
    rule.fill("flag when rank >= 1")
    page.get_by_role("button", name="Preview").click()
    page.locator("#preview").wait_for()
    w.settle()
    w.fits()
    hits = page.locator("#preview .card.first .figure").inner_text()
    check(int(hits) > 0, f"{hits} hits")
    rule.type(" ")
    check(page.locator("[data-apply]").is_disabled(), "a rule that was changed since can be applied")
    page.keyboard.press("Backspace")
    tried = page.url.removeprefix(w.base).split("#")[0]
    w.screenshots(job.shots, "rules", tried)
    w.go(tried)
    page.locator("[data-apply]").click()
    check(f"{hits} samples change" in page.locator("#confirm-text").inner_text(), "the question names no number")
    page.get_by_role("button", name="Yes").click()
    run = page.locator("section:has(#runs) tbody tr").first
    run.locator(".state.succeeded").wait_for(timeout=WAIT)
    run.get_by_role("link", name="every clip").click()
    page.wait_for_url("**/samples?rule=*")
    w.settle()
    check(page.get_by_text("Flagged by rule: every clip").count() > 0, "the samples show no flag")
    page.go_back()
    run.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Yes").click()
    run.locator(".state.cancelled").wait_for(timeout=WAIT)
    check(run.get_by_role("button", name="Undo").count() == 0, "an undone run can be undone")
