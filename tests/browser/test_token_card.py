"""What a token of a stored trace says of itself in the inspector."""

import pytest
from concordance_inference.traces.store import TraceStore
from inspector_flows import expect, faults_in_both_themes, open_quietly
from inspector_traces import short_trace

pytestmark = [pytest.mark.browser, pytest.mark.process]


@pytest.fixture(name="explained")
def _explained(page, server, store):
    """Open the trace; return a function that selects a token and returns its explanation."""
    TraceStore(store).add([short_trace()])
    open_quietly(page)
    page.get_by_text("Stored traces").click()
    page.locator(".traces .entry", has_text="Well yes").first.click()
    expect(page.locator("token-list [role=option]")).to_have_count(6)

    def explain(i):
        page.locator("token-list [role=option]").nth(i).click()
        return page.locator("token-card").inner_text()

    return explain


def test_a_restricted_token_has_its_allowed_set_and_both_probabilities(page, explained, picture):
    text = explained(1)

    assert "Logits adjusted by mod only in ForwardPass, 1.50 ms." in text
    assert "The model gave it 5.0 %." in text
    assert "After mods and constraints: 81.9 %." in text
    assert "Allowed here: 3 tokens: ␣yes ␣sure …" in text
    rows = page.locator("token-card li")
    assert "not allowed" in rows.first.inner_text()
    assert "→ 81.9 %" in rows.nth(1).inner_text()
    assert not faults_in_both_themes(page)
    picture("allowed-set")


def test_a_mod_that_only_listens_restricts_nothing_and_its_lines_are_shown(explained):
    text = explained(2)

    assert "only: I listen" in text
    assert "Allowed" not in text
    assert "After mods" not in text


def test_given_replaced_forced_and_cut_tokens_say_who_it_was(page, explained):
    assert "Given with the request." in explained(0)
    assert "Replaced before it was added, by mod swap in Sampled, 1.50 ms." in explained(3)
    forced = explained(4)
    assert "Forced by mod swap in Sampled, 1.50 ms." in forced
    assert "swap: better" in forced
    assert "Backtracked by the engine." in explained(5)
    assert page.locator("token-list .removed").count() == 2


def test_handlers_and_lines_outside_of_events_are_shown_with_the_mods(page, explained):
    explained(0)
    rows = page.locator("run-panel table tbody tr").all_inner_texts()

    assert [row.split()[0] for row in rows] == ["only", "swap", "Sampled"]
    assert rows[2].split()[-2:] == ["6.0", "ms"]
    page.get_by_text("Lines outside of events").click()
    expect(page.locator("pre", has_text="only: I was made")).to_be_visible()


def test_each_event_has_its_mod_handler_action_time_and_lines(page, explained):
    explained(0)
    page.locator("token-list").focus()
    said = []
    for _ in range(10):
        said.append(page.locator("event-slider output").inner_text())
        page.keyboard.press("ArrowLeft")

    assert said == [
        "9 of 9: the engine: backtracked “ so”",
        "8 of 9: sampled “ so”",
        "7 of 9: mod swap in Sampled, 1.50 ms: replaced “ so”, then forced “ be” · better",
        "6 of 9: sampled “ so”",
        "5 of 9: sampled “ so”",
        "4 of 9: mod only in ForwardPass, 1.50 ms: printed · I listen",
        "3 of 9: sampled “ yes”",
        "2 of 9: mod only in ForwardPass, 1.50 ms: AdjustedLogits allow 3",
        "1 of 9: given “Well”",
        "the beginning",
    ]
