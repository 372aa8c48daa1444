"""The flows of the inspector at `/`, one by one, with the embedded model."""

import pytest
from concordance_inference.keys.upload_key import found_upload_key
from inspector_flows import (
    ENDED,
    enter_key,
    expect,
    faults_of_access,
    has_count,
    open_quietly,
    run,
    run_long,
    text_of,
    trace_of_newest,
)

pytestmark = [pytest.mark.browser, pytest.mark.process]


def test_a_new_user_sees_forced_and_backtracked_tokens_without_a_setting(page, picture):
    page.goto("/")

    page.wait_for_selector("token-list [role=option][data-mod]")
    page.wait_for_selector("token-list .removed")
    page.wait_for_selector(ENDED)
    assert text_of(page).startswith("Ahoy!")
    assert "Lyon" in text_of(page)
    assert "Paris" not in text_of(page)
    page.locator("token-list .removed").first.click()
    assert "Backtracked by mod replace" in page.locator("token-card").inner_text()
    assert page.locator("token-card .chosen").inner_text().startswith("␣Paris")
    picture("first-prompt")
    assert not faults_of_access(page)


def test_a_token_explains_itself_under_the_pointer_and_by_keyboard(page):
    open_quietly(page)
    run(page)
    page.wait_for_selector(ENDED)

    page.locator("token-list [role=option]").nth(3).hover()
    assert "Sampled from the model" in page.locator("token-card").inner_text()
    assert page.locator("token-card li").count() == 5
    page.locator("token-list").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    assert "position 1," in page.locator("token-card").inner_text()


def test_left_and_right_step_through_the_events(page):
    open_quietly(page)
    run(page)
    page.wait_for_selector(ENDED)
    whole = text_of(page)

    page.locator("token-list").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    shown = page.locator("token-list [role=option]:not([hidden])").count()
    assert shown == page.locator("token-list [role=option]").count() - 3
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.locator("token-list [role=option]:not([hidden])").count() == shown + 3
    assert text_of(page) == whole


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_and_themes_are_readable(page, picture, theme):
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    open_quietly(page)
    run(page)
    page.wait_for_selector(ENDED)

    for colour in ("origin", "probability", "entropy"):
        page.get_by_text(colour, exact=True).click()
        assert not faults_of_access(page)
        picture(f"{theme}-{colour}")


def test_a_mod_has_a_form_of_its_parameters(page, picture):
    open_quietly(page)
    page.get_by_label("Add a mod").select_option("inject_after_tokens")
    run(page)
    assert page.locator("token-list").count() == 0  # `text` and `count` are required

    page.get_by_label("text *", exact=True).fill(" BANANA")
    page.get_by_label("count *").fill("3")
    run(page)
    page.wait_for_selector(ENDED)
    assert " BANANA" in text_of(page)
    assert (
        page.locator("run-panel table tbody tr")
        .first.inner_text()
        .startswith("inject_after_tokens")
    )
    picture("mod-parameters")


def test_an_upload_shows_its_error_at_its_line_and_runs_once_it_is_right(page, picture):
    open_quietly(page)
    page.get_by_text("Write a mod").click()
    source = page.get_by_label("Source")
    right = source.input_value()
    source.fill(right.replace("def added(self,", "def added(self"))
    page.get_by_role("button", name="Upload", exact=True).click()
    enter_key(page, "wrong")
    page.get_by_text("is not this server's upload key").wait_for()
    assert not faults_of_access(page)
    picture("upload-key")
    enter_key(page, found_upload_key())

    page.wait_for_selector("mod-editor .marked")
    line = right[: right.index("def added")].count("\n") + 1
    assert page.locator("mod-editor .marked").inner_text().strip() == str(line)
    assert page.locator("#mod-error").inner_text().startswith(f"Line {line}: ")
    assert not faults_of_access(page)
    picture("upload-error")

    source.fill(right)
    page.get_by_label("Prompt").fill("What is the capital of France?")
    page.get_by_role("button", name="Upload and run").click()
    page.wait_for_selector("token-list .removed")
    page.wait_for_selector(ENDED)
    assert "Lyon" in text_of(page)


def test_an_error_while_a_mod_runs_is_shown_at_its_line(page):
    open_quietly(page)
    page.get_by_text("Write a mod").click()
    page.get_by_label("Name", exact=True).fill("breaks")
    page.get_by_label("Source").fill(
        "from concordance_sdk import mod\n\n@mod\ndef breaks(event, actions):\n    return 1 / 0\n"
    )
    page.get_by_role("button", name="Upload and run").click()
    enter_key(page, found_upload_key())

    page.wait_for_selector("steering-bar[data-state=failed]")
    assert page.locator("mod-editor .marked").inner_text().strip() == "5"
    assert "ZeroDivisionError" in page.locator("steering-bar [role=alert]").inner_text()


def test_a_run_is_paused_backtracked_forced_and_resumed_by_hand(page, picture, server):
    open_quietly(page)
    run_long(page)
    page.wait_for_selector("token-list [role=option]:nth-child(9)")
    page.locator("token-list").focus()
    page.keyboard.press("Space")
    page.wait_for_selector("steering-bar[data-state=paused]")

    page.locator("token-list [role=option]").nth(4).click()
    page.keyboard.press("x")
    page.wait_for_selector("token-list [role=option]:nth-child(5).removed")
    has_count(page, "token-list [role=option]:not(.removed)", 4)
    page.keyboard.press("s")
    has_count(page, "token-list [role=option]:not(.removed)", 5)
    page.get_by_label("Text to force").fill(" HELLO")
    page.get_by_role("button", name="Force", exact=True).click()
    page.wait_for_selector("[role=option][data-mod=hand]")
    assert not faults_of_access(page)
    picture("steered")
    page.get_by_role("button", name="Resume").click()
    page.wait_for_selector(ENDED)
    assert " HELLO" in text_of(page)
    by_hand = [each["action"] for each in trace_of_newest(server)["events"] if each.get("by_hand")]
    assert {"pause", "backtrack", "step", "force", "resume"} <= set(by_hand)
    assert {"Backtrack", "ForceTokens"} <= set(by_hand)


def test_mods_are_swapped_while_a_request_runs(page, server):
    open_quietly(page)
    page.get_by_label("Add a mod").select_option("greeting")
    run_long(page)
    page.wait_for_selector("token-list [role=option]:nth-child(6)")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_selector("steering-bar[data-state=paused]")

    page.get_by_role("button", name="Remove greeting").click()
    page.get_by_label("Add a mod").select_option("inject_after_tokens")
    page.get_by_label("text *", exact=True).fill(" BANANA")
    page.get_by_label("count *").fill("40")
    page.get_by_role("button", name="Apply mods").click()
    expect(page.locator("event-slider output")).to_contain_text("by hand: add mod")
    page.get_by_role("button", name="Resume").click()
    page.wait_for_selector(ENDED)
    assert "BANANA" in text_of(page)
    commands = [each for each in trace_of_newest(server)["events"] if each["event"] == "command"]
    assert [each["action"] for each in commands] == ["pause", "remove_mod", "add_mod", "resume"]
    assert all(each["by_hand"] for each in commands)


def test_a_mod_that_cannot_be_added_is_refused_and_the_request_continues(page):
    open_quietly(page)
    page.get_by_text("Write a mod").click()
    page.get_by_label("Name", exact=True).fill("fails")
    page.get_by_label("Source").fill(
        "from concordance_sdk import mod\n\n\n@mod\nclass Fails:\n    def __init__(self):\n"
        "        1 / 0\n\n    def added(self, event, actions):\n        return None\n"
    )
    page.get_by_role("button", name="Upload", exact=True).click()
    enter_key(page, found_upload_key())
    expect(page.locator("#mod-error")).to_have_text("Uploaded fails.")
    page.get_by_role("button", name="Remove fails").click()
    run_long(page)
    page.wait_for_selector("token-list [role=option]:nth-child(3)")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_selector("steering-bar[data-state=paused]")
    page.get_by_label("Add a mod").select_option("fails")
    page.get_by_role("button", name="Apply mods").click()

    expect(page.locator("steering-bar [role=alert]")).to_contain_text("ZeroDivisionError")
    assert page.locator("mod-editor .marked").inner_text().strip() == "7"
    page.get_by_role("button", name="End", exact=True).click()
    page.wait_for_selector(ENDED)


def test_an_alternative_takes_the_place_of_a_token(page):
    open_quietly(page)
    run_long(page)
    page.wait_for_selector("token-list [role=option]:nth-child(6)")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_selector("steering-bar[data-state=paused]")

    page.locator("token-list [role=option]").nth(2).click()
    page.locator("token-card li button").first.click()
    page.wait_for_selector("[role=option][data-mod=hand]")
    page.get_by_role("button", name="End", exact=True).click()
    page.wait_for_selector(ENDED)


def test_a_narrow_window_has_no_scroll_bar_at_its_bottom(page, picture):
    page.set_viewport_size({"width": 380, "height": 800})
    open_quietly(page)
    run(page)
    page.wait_for_selector(ENDED)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("token-list").scroll_into_view_if_needed()
    picture("narrow")
