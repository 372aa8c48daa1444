"""Two completions beside each other in the inspector, with an engine that needs no model."""

import pytest
from inspector_flows import ENDED, faults_of_access, has_count, open_quietly, run, text_of
from traced_server import traced_server

pytestmark = [pytest.mark.browser, pytest.mark.process]


@pytest.fixture(name="server", scope="module")
def _server():
    with traced_server() as server:
        yield server


def choose_mod(page):
    page.get_by_label("Add a mod").select_option("greeting")


def test_the_same_prompt_with_and_without_mods_is_aligned_at_the_first_difference(
    page, picture, shot
):
    open_quietly(page)
    choose_mod(page)
    page.get_by_role("button", name="Compare", exact=True).click()

    has_count(page, "steering-bar[data-state=ended]", 2)
    has_count(page, "run-comparison .different", 1)
    assert [text_of(page, i) for i in (0, 1)] == ["a dog sat.", "a cat sat."]
    has_count(page, "token-list .differs", 2)
    assert page.locator("run-comparison del").all_inner_texts() == ["c", "a", "t"]
    page.keyboard.press("n")
    status = page.locator("run-comparison [role=status]")
    assert status.inner_text() == (
        "1 of 1. With mods: “cat” backtracked, then “dog”. Without mods: “cat”"
    )
    card = page.locator("token-card").first.inner_text()
    assert card.startswith("d position 2")
    assert "Forced by mod greeting" in card
    assert "no cats" in card
    is_wide = "(panels) => panels.some((panel) => panel.scrollWidth > panel.clientWidth)"
    assert not page.locator("run-panel").evaluate_all(is_wide)
    assert not faults_of_access(page)
    picture("compared")
    shot(page.locator("run-comparison"), "comparison")  # the picture in docs/pictures

    with page.expect_download() as download:
        page.locator("run-comparison").get_by_text("Export").click()
    assert download.value.path().read_text().count('"object":"trace"') == 2


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
    assert page.locator("run-panel").first.locator("[role=option][aria-selected=true]").count() == 1
    assert not faults_of_access(page)
    picture("compared-stored")


def test_a_completion_that_ended_is_exported_by_its_link(page):
    open_quietly(page)
    run(page)
    page.wait_for_selector(ENDED)

    with page.expect_download() as download:
        page.locator("run-panel").get_by_text("Export").click()
    assert "<trace-page>" in download.value.path().read_text()


def test_an_alignment_has_every_token_once_in_order_and_equal_ones_beside_each_other(page):
    open_quietly(page)
    faults = page.evaluate(
        """async () => {
          const { aligned } = await import("/inspector/alignment.js");
          let seed = 1;
          const dice = (n) => (seed = (seed * 48271) % 2147483647) % n;
          const timeline = (ids) => {
            const cells = ids.map((token_id, index) => ({
              token_id, index, removed: dice(6) ? null : 1,
            }));
            const completion = cells.filter(({ removed }) => removed === null);
            return { cells, completion, state: "ended" };
          };
          const faults = [];
          for (let trial = 0; trial < 300; trial++) {
            const ids = Array.from({ length: dice(400) }, () => dice(9));
            const other = ids.flatMap((id) => [[id], [id], [id], [], [id, dice(9)]][dice(5)]);
            const [left, right] = [timeline(ids), timeline(other)];
            const parts = aligned(left, right);
            const all = (side) => parts.flatMap((part) => part[side]);
            const same = parts.filter(({ kind }) => kind === "same");
            const key = ({ token_id: id, removed }) => `${id}${removed}`;
            const keys = (cells) => cells.map(key).join();
            if (all("left").some((cell, i) => cell !== left.cells[i])) faults.push("left");
            if (all("right").some((cell, i) => cell !== right.cells[i])) faults.push("right");
            if (all("left").length !== left.cells.length) faults.push("left is not whole");
            if (all("right").length !== right.cells.length) faults.push("right is not whole");
            if (same.some((part) => keys(part.left) !== keys(part.right))) faults.push("same");
          }
          return faults;
        }"""
    )

    assert not faults
