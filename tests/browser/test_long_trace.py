"""A long trace in the inspector: what it costs the browser."""

import pytest
from inspector_flows import open_quietly

pytestmark = [pytest.mark.browser, pytest.mark.process]

#: A trace of 10,000 tokens, some of them forced and backtracked by a mod that logs.
LONG_TRACE = """(count) => {
    const alternatives = ["a", "b", "c", "d", "e"].map((text, i) =>
        ({ token_id: i, text: ` ${text}`, logprob: -1 - i, adjusted_logprob: -1 - i }));
    const call = (i) => ({ index: i, mod: "fixer", event: "Added", action: "Backtrack",
        position: 10 * i + 1, backtracked_tokens: 1, forced_tokens: 1, at_ms: 10 * i + 1.5,
        logs: [{ mod: "fixer", text: `line ${i}` }] });
    const token = (i) => {
        const told = { index: i, text: i % 40 ? " word" : "\\n", token_id: i, at_ms: i };
        const position = i - Math.floor((i + 8) / 10);
        if (i % 10 === 1) Object.assign(told, { status: "backtracked", removed_by: "fixer",
            removed_at: Math.floor(i / 10) });
        if (i % 10 !== 2) return { ...told, position, logprob: -0.4, entropy: 1, alternatives };
        return { ...told, position, origin: "forced", mod: "fixer", event: Math.floor(i / 10) };
    };
    const range = (n, make) => Array.from({ length: n }, (_, i) => make(i));
    return { id: "long", status: "ended", finish_reason: "length", mods: [{ name: "fixer" }],
        handlers: [], tokens: range(count, token), events: range(count / 10, call), steps: [] };
}"""


def test_ten_thousand_tokens_stay_fluid(page, record_property):
    open_quietly(page)
    metrics = page.context.new_cdp_session(page)
    metrics.send("Performance.enable")

    def measured():
        found = metrics.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in found}

    before = measured()
    opened = page.evaluate(
        """async (make) => {  // milliseconds until they are shown
          const { TokenTimeline } = await import("/inspector/token_timeline.js");
          const trace = eval(make)(10000);
          const began = performance.now();
          const panel = document.createElement("run-panel");
          document.querySelector("#runs").replaceChildren(panel);
          panel.open("Long", TokenTimeline.of(trace));
          panel.getBoundingClientRect();
          return performance.now() - began;
        }""".replace("eval(make)", f"({LONG_TRACE})"),
        None,
    )
    after = measured()
    frames = page.evaluate(
        """async () => {  // milliseconds of each frame while they scroll
          const list = document.querySelector("token-list");
          const times = [];
          const frame = () => new Promise(requestAnimationFrame);
          for (let i = 0; i < 120; i++) { list.scrollTop += 150; times.push(await frame()); }
          return times.slice(1).map((time, i) => time - times[i]);
        }"""
    )
    shown = page.locator("token-list [role=option]")
    is_laid_out = "(each) => each.checkVisibility({ contentVisibilityAuto: true })"
    laid_out = shown.evaluate_all(f"(all) => all.filter({is_laid_out}).length")
    frames.sort()
    took = {
        "opened_ms": round(opened, 1),
        "frame_ms": [round(frames[int(len(frames) * q)], 1) for q in (0.5, 0.95, 0.99)],
        "layouts_of_scrolling": measured()["LayoutCount"] - after["LayoutCount"],
        "nodes": after["Nodes"] - before["Nodes"],
        "laid_out": laid_out,
    }
    record_property("fluid", took)
    print(took)  # noqa: T201  # `pytest -s` shows it
    assert shown.count() == 10_000
    assert page.locator("token-list .removed").count() == 1_000
    assert took["nodes"] < 30_000  # a token is an element and its text
    assert laid_out < 2_500  # only the blocks in view and beside it are laid out
    assert took["layouts_of_scrolling"] <= 2 * 120
