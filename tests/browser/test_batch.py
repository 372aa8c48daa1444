"""The lanes of the batch in the inspector."""

import threading

import pytest
from inspector_flows import expect, faults_in_both_themes, open_quietly

pytestmark = [pytest.mark.browser, pytest.mark.process]


def test_each_request_of_the_batch_has_a_lane_and_can_be_opened_and_steered(page, picture, server):
    open_quietly(page)
    page.wait_for_function("performance.getEntriesByName(`${location.origin}/v1/mods`).length")

    def ask(i):
        replace = {"name": "replace", "params": {"find": "the", "replacement": "THE"}}
        greeting = {"name": "greeting", "params": {"text": f"Lane {i} says hello to you: "}}
        server.client.chat.completions.create(
            model=server.model,
            messages=[{"role": "user", "content": f"Write a long story about {i} ships."}],
            max_tokens=75 - 20 * i,  # all steps are in the lanes
            temperature=0,
            extra_body={"mods": [greeting, replace]},
        )

    clients = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
    for client in clients:
        client.start()
    lanes = page.locator("lane-view tbody tr")
    expect(lanes).to_have_count(3)
    running = page.locator("lane-view tr[data-state=running]")
    expect(running.first).to_be_visible()
    running.get_by_role("button").first.click()
    page.get_by_role("button", name="Pause").click()
    page.wait_for_selector("steering-bar[data-state=paused]")
    page.wait_for_timeout(400)  # others go on
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("lane-view tr[data-state=ended]")).to_have_count(3, timeout=60_000)
    for kind in ("prefill", "decode", "saved", "wasted", "rewind", "paused"):
        drawn = page.locator(f"lane-view path.{kind}[d^=M]")
        assert drawn.count(), kind
    assert not faults_in_both_themes(page)
    picture("batch")
    for client in clients:
        client.join()
