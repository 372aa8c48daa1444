"""A stored trace of 10,000 tokens in the inspector: what it costs the browser."""

import pytest
from concordance_inference.traces.store import TraceStore
from inspector_flows import expect, open_quietly
from inspector_traces import long_trace

pytestmark = [pytest.mark.browser, pytest.mark.process]

COUNT = 10_000

#: Milliseconds from a click on the trace to the frame in which its tokens are there.
OPEN = """async (count) => {
    const began = performance.now();
    document.querySelector(".traces .entry").click();
    const frame = () => new Promise(requestAnimationFrame);
    while (document.querySelectorAll("token-list [role=option]").length < count) await frame();
    await frame();
    return performance.now() - began;
}"""

#: Milliseconds of each frame while the tokens scroll.
SCROLL = """async () => {
    const list = document.querySelector("token-list");
    const times = [];
    const frame = () => new Promise(requestAnimationFrame);
    list.scrollTop = 0;
    for (let i = 0; i < 120; i++) { list.scrollTop += 150; times.push(await frame()); }
    return times.slice(1).map((time, i) => time - times[i]);
}"""


@pytest.fixture(name="metrics")
def _metrics(page):
    """Read the counters of the browser's renderer."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def read():
        found = session.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in found}

    return read


def test_ten_thousand_tokens_open_at_once_and_scroll_smoothly(
    page, metrics, server, store, record_property
):
    TraceStore(store).add([long_trace(COUNT)])
    open_quietly(page)
    page.get_by_text("Stored traces").click()
    expect(page.locator(".traces li").first).to_contain_text("Many words.")

    before = metrics()
    opened = page.evaluate(OPEN, COUNT)
    between = metrics()
    frames = sorted(page.evaluate(SCROLL))
    after = metrics()
    is_laid_out = "(each) => each.checkVisibility({ contentVisibilityAuto: true })"
    shown = page.locator("token-list [role=option]")
    took = {
        "opened_ms": round(opened),
        "frame_ms": [round(frames[int(len(frames) * q)], 1) for q in (0.5, 0.95, 0.99)],
        "nodes": between["Nodes"] - before["Nodes"],
        "layouts_of_scrolling": after["LayoutCount"] - between["LayoutCount"],
        "laid_out": shown.evaluate_all(f"(all) => all.filter({is_laid_out}).length"),
    }
    record_property("measured", took)
    print(took)  # noqa: T201  # `pytest -s` shows it
    assert page.locator("token-list .removed").count() == COUNT // 10
    assert took["nodes"] < 3 * COUNT  # an element and its text for each token
    assert took["laid_out"] < COUNT // 4  # only the blocks in view and beside them
    assert took["layouts_of_scrolling"] <= 120
