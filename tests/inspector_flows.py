"""What tests of the inspector do with its page."""

import json
import urllib.request

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright").expect
Axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe").Axe

ENDED = "run-panel [role=status]:has-text('ended')"


def open_quietly(page):
    """Open the page as one who was here before: nothing runs by itself."""
    page.add_init_script(
        """localStorage.getItem("concordance-request") ??
        localStorage.setItem("concordance-request", JSON.stringify(
            {prompt: "Count to twenty in words.", mods: [], max_tokens: 24, temperature: 0}))"""
    )
    page.goto("/")
    page.wait_for_selector("body[data-ready]")


def run(page):
    page.get_by_role("button", name="Run", exact=True).click()


def run_long(page):
    page.get_by_label("Prompt").fill("Write a long story about the sea.")
    page.get_by_label("Max tokens").fill("100")
    run(page)


def has_count(page, selector, count):
    expect(page.locator(selector)).to_have_count(count, timeout=60_000)


def faults_in_both_themes(page):
    found = faults_of_access(page)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # no colour in between
    found += faults_of_access(page)
    page.emulate_media(color_scheme="light")
    return found


def faults_of_access(page):
    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]


def text_of(page, panel=0):
    """The completion: the tokens that are there and not struck through."""
    tokens = page.locator("token-list").nth(panel).locator("[role=option]:not(.removed)")
    return "".join(tokens.all_text_contents())


def trace_of_newest(server):
    """The trace that was stored last."""
    with urllib.request.urlopen(f"{server.url}/v1/traces?limit=1") as response:
        (summary,) = json.load(response)["data"]
    with urllib.request.urlopen(f"{server.url}/v1/traces/{summary['id']}") as response:
        return json.load(response)


def enter_key(page, key):
    """Enter the key that the page asks for."""
    page.get_by_label("Key", exact=True).locator("input").fill(key)
    page.get_by_role("button", name="Use the key").click()
