"""Two completions beside each other in the inspector."""

import pytest
from inspector_flows import ENDED, faults_of_access, has_count, open_quietly, run

pytestmark = [pytest.mark.browser, pytest.mark.process]


def choose_mod(page):
    page.get_by_label("Add a mod").select_option("inject_after_tokens")
    page.get_by_label("text *", exact=True).fill(" BANANA")
    page.get_by_label("count *").fill("4")


def test_the_same_prompt_with_and_without_mods_is_aligned_at_the_first_difference(page, picture):
    open_quietly(page)
    choose_mod(page)
    page.get_by_role("button", name="Compare").click()

    has_count(page, "steering-bar[data-state=ended]", 2)
    has_count(page, "run-comparison .first", 1)
    has_count(page, "token-list .differs", 2)
    assert page.locator("token-list").first.locator(".differs").get_attribute("data-mod")
    page.keyboard.press("n")
    assert page.locator("token-card").first.inner_text().startswith("“␣BA")
    assert "Forced by mod inject_after_tokens" in page.locator("token-card").first.inner_text()
    assert "With mods: “ BANANA" in page.locator("run-comparison [role=status]").inner_text()
    is_wide = "(panels) => panels.some((panel) => panel.scrollWidth > panel.clientWidth)"
    assert not page.locator("run-panel").evaluate_all(is_wide)
    assert not faults_of_access(page)
    picture("compared")

    with page.expect_download() as download:
        page.locator("run-comparison").get_by_text("Export").click()
    text = download.value.path().read_text()
    assert text.count('"object":"trace"') == 2


def test_a_stored_trace_is_compared_with_the_completion_that_is_shown(page, picture):
    open_quietly(page)
    run(page)
    page.wait_for_selector(ENDED)
    choose_mod(page)
    run(page)
    page.wait_for_selector("run-panel .legend li")
    page.wait_for_selector(ENDED)

    page.get_by_text("Stored traces").click()
    page.locator("trace-list li").nth(1).get_by_role("button", name="Compare").click()

    has_count(page, "run-panel", 2)
    has_count(page, "run-comparison .first", 1)
    assert page.locator("run-panel h2").last.inner_text().startswith("Trace of ")
    page.locator("run-comparison .different .token").first.click()
    assert page.locator("run-panel").first.locator("[aria-selected=true]").count() == 1
    assert not faults_of_access(page)
    picture("compared-stored")


def test_a_completion_that_ended_is_exported_by_its_link(page):
    open_quietly(page)
    run(page)
    page.wait_for_selector(ENDED)

    with page.expect_download() as download:
        page.locator("run-panel").get_by_text("Export").click()
    assert "<trace-page>" in download.value.path().read_text()
