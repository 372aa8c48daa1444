"""The list of stored traces in the inspector: search, filters, opening, deleting, export."""

import json
import urllib.request

import pytest
from inspector_flows import ENDED, expect, faults_in_both_themes, open_quietly, text_of

pytestmark = [pytest.mark.browser, pytest.mark.process]


@pytest.fixture(name="stored")
def _stored(server):
    """Two traces, one with a mod; returns their completions."""

    def ask(prompt, mods):
        extra = {"trace": True, "mods": mods}
        messages = [{"role": "user", "content": prompt}]
        made = server.client.chat.completions.create(
            model=server.model, messages=messages, max_tokens=8, temperature=0, extra_body=extra
        )
        return made.choices[0].message.content

    greeting = {"name": "greeting", "params": {"text": "Zounds! "}}
    return ask("Name a colour.", []), ask("Name an animal.", [greeting])


def test_stored_traces_are_searched_opened_exported_and_deleted(page, picture, server, stored):
    open_quietly(page)
    page.get_by_text("Stored traces").click()
    entries = page.locator(".traces li")
    expect(entries.first).to_be_visible()

    page.get_by_label("Search").fill("zounds")
    expect(entries).to_have_count(1)
    page.get_by_label("Search").fill("")
    page.locator("trace-list").get_by_label("Mod").select_option("greeting")
    expect(entries.first).to_contain_text("greeting")
    page.get_by_label("Search").fill("Name an animal")
    expect(entries).to_have_count(1)
    with urllib.request.urlopen(f"{server.url}/{exported(page)}") as response:
        (line,) = response.read().splitlines()
    assert json.loads(line)["schema"] == "concordance.trace/1"

    entries.locator(".entry").click()
    page.wait_for_selector(ENDED)
    assert text_of(page).startswith(stored[1])
    assert page.get_by_role("button", name="Pause").is_hidden()
    assert page.get_by_role("button", name="Branch").is_enabled()
    page.locator("token-list [data-mod]").nth(1).hover()
    card = page.locator("token-card").inner_text()
    assert "Forced by mod greeting in ForwardPass" in card
    assert "was not computed" in card  # of a span, without `logprobs`
    assert not faults_in_both_themes(page)
    picture("stored-trace")

    entries.get_by_role("button", name="Delete").click()
    expect(entries).to_have_count(0)
    assert page.locator("trace-list [role=status]").inner_text() == ""


def test_a_link_that_saves_a_file_sends_the_key_of_the_tab(page, stored):
    open_quietly(page)
    page.evaluate("sessionStorage.setItem('concordance-key', 'any')")
    page.get_by_text("Stored traces").click()
    expect(page.locator(".traces li").first).to_be_visible()

    with page.expect_request("**/v1/traces/export*") as sent, page.expect_download() as saved:
        page.locator("trace-list").get_by_role("link", name="Export").click()
    assert sent.value.headers["authorization"] == "Bearer any"
    assert saved.value.suggested_filename == "traces.jsonl"


def exported(page):
    return page.get_by_role("link", name="Export").get_attribute("href")


def test_a_search_without_a_match_says_so(page):
    open_quietly(page)
    page.get_by_text("Stored traces").click()
    page.get_by_label("Search").fill("no trace has this text")

    expect(page.locator("trace-list [role=status]")).to_have_text("No trace matches.")
