"""Branches in the inspector: from any token, with an alternative or a text, and their tree."""

import json
import urllib.request

import pytest
from inspector_flows import expect, faults_in_both_themes, has_count, open_quietly, run, text_of

pytestmark = [pytest.mark.browser, pytest.mark.process]


def tokens(page, panel):
    return page.locator("token-list").nth(panel).locator("[role=option]:not(.removed)")


def test_an_alternative_of_an_ended_completion_continues_beside_it(page, picture, server):
    open_quietly(page)
    run(page)
    has_count(page, "steering-bar[data-state=ended]", 1)
    tokens(page, 0).nth(4).click()
    page.locator("token-card li button").first.click()

    has_count(page, "steering-bar[data-state=ended]", 2)
    before, after = text_of(page, 0), text_of(page, 1)
    shared = "".join(tokens(page, 0).all_text_contents()[:4])
    assert before != after
    assert after.startswith(shared)
    assert page.locator("token-list .differs").count() == 2
    figures = page.locator("run-panel").nth(1).locator(".figures").inner_text()
    assert figures.startswith("Branched at 4: ")

    tree = page.locator("branch-tree li")
    expect(tree).to_have_count(2)
    assert "at 4:" in tree.nth(1).inner_text()
    assert not faults_in_both_themes(page)
    picture("branched")
    conversation = tree.nth(1).get_by_role("link", name="conversation").get_attribute("href")
    with urllib.request.urlopen(f"{server.url}/{conversation}") as response:
        said = json.load(response)["messages"]
    assert said[-1]["role"] == "assistant"
    assert after.startswith(said[-1]["content"])

    tree.first.get_by_role("button").first.click()
    has_count(page, "run-panel", 1)
    assert text_of(page) == before


def test_a_text_is_branched_with_by_keyboard_while_the_request_is_paused(page):
    open_quietly(page)
    run(page)
    page.wait_for_selector("token-list [role=option]:nth-child(6)")
    page.locator("token-list").focus()
    page.keyboard.press("Space")
    page.wait_for_selector("steering-bar[data-state=paused]")

    for key in ("Home", "ArrowDown", "ArrowDown", "b"):
        page.keyboard.press(key)
    page.keyboard.type(" BANANA")
    page.keyboard.press("Enter")
    has_count(page, "steering-bar[data-state=ended]", 1)
    assert page.locator("steering-bar[data-state=paused]").count() == 1  # the old one
    assert "".join(tokens(page, 1).all_text_contents()[2:]).startswith(" BANANA")
    assert page.locator("run-panel").nth(1).locator(".legend").inner_text() == "the branch"


def test_a_branch_needs_a_token(page):
    open_quietly(page)
    run(page)
    has_count(page, "steering-bar[data-state=ended]", 1)
    page.get_by_role("button", name="Branch").click()

    alert = page.locator("steering-bar [role=alert]")
    expect(alert).to_have_text("Select a token of the completion to branch from.")
