"""A trace as one file, opened from the disk without a network, and in the frame of a notebook."""

import pytest
from concordance_inference.traces.schema import (
    Alternative,
    HandlerTotal,
    Trace,
    TraceEvent,
    TraceLog,
    TraceMod,
    TraceToken,
)
from concordance_inference.traces.trace_page import TracePage
from inspector_flows import faults_of_access

pytestmark = [pytest.mark.browser]

EVIL = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"


def token(index, position, text, **fields):
    top = [
        Alternative(token_id=ord(text[-1]), text=text, logprob=-0.2, adjusted_logprob=-0.2),
        Alternative(token_id=1, text=EVIL, logprob=-2.0, adjusted_logprob=-2.0),
    ]
    probable = {"logprob": -0.2, "adjusted_logprob": -0.2, "entropy": 0.7, "alternatives": top}
    known = {} if fields.get("origin") == "forced" else probable
    given = {"index": index, "position": position, "token_id": ord(text[-1]), "text": text}
    return TraceToken(**(given | known | fields), at_ms=index)


def with_mod():
    """A trace in which a mod replaces "Paris" by "Lyon", and logs a text that looks like HTML."""
    cut = {"status": "backtracked", "removed_by": "replace", "removed_at": 0}
    return Trace(
        id="with",
        created=1.7e9,
        model="tiny",
        status="ended",
        finish_reason="stop",
        prompt=f"Where? {EVIL}",
        prompt_tokens=3,
        completion_tokens=5,
        parameters={"temperature": 0.5},
        seed=7,
        mods=[TraceMod(name="replace", parameters={"find": "Paris"})],
        tokens=[
            token(0, 0, "It"),
            token(1, 1, " is"),
            token(2, 2, " Paris", **cut),
            token(3, 2, " Lyon", origin="forced", mod="replace", event=0),
            token(4, 3, " of"),
            token(5, 4, " course"),
            token(6, 5, "."),
        ],
        events=[
            TraceEvent(
                index=0,
                mod="replace",
                event="Added",
                action="Backtrack",
                position=3,
                details={"n": 1},
                forced_tokens=1,
                backtracked_tokens=1,
                logs=[TraceLog(mod="replace", text=EVIL)],
                at_ms=2.5,
            )
        ],
        handlers=[HandlerTotal(mod="replace", event="Added", calls=6, microseconds=120.0)],
    )


def without_mod():
    texts = ["It", " is", " Paris", " of", " course", ".", "!"]
    return Trace(
        id="without",
        created=1.7e9,
        model="tiny",
        status="ended",
        finish_reason="stop",
        tokens=[token(i, i, text) for i, text in enumerate(texts)],
    )


@pytest.fixture(name="opened")
def _opened(browser, tmp_path):
    """Open a file in a browser without a network; fail if it reports an error or asks for more."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    faults, asked = [], []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))

    def opened(text):
        path = tmp_path / "trace.html"
        path.write_text(text)
        page.goto(path.as_uri())
        return page

    yield opened
    context.close()
    assert not faults
    assert [url for url in asked if not url.endswith("/trace.html")] in ([], ["about:srcdoc"])


def text_of(page):
    return "".join(page.locator("token-list [role=option]:not(.removed)").all_text_contents())


def test_an_exported_trace_opens_from_the_disk_without_a_network(opened, shot):
    page = opened(TracePage(with_mod()).html)

    assert text_of(page) == "It is Lyon of course."
    assert page.locator("token-list .block").count() == 1
    page.locator("token-list .removed").click()
    card = page.locator("token-card").inner_text()
    assert "Backtracked by mod replace" in card
    assert EVIL in card  # as text: the log, and an alternative
    page.locator("token-list").focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert page.locator("token-list .removed").count() == 0
    page.get_by_text("Request", exact=True).click()
    page.get_by_text("Prompt", exact=True).click()
    assert EVIL in page.locator(".prompt").inner_text()
    assert page.evaluate("window.evil") is None
    assert not faults_of_access(page)
    shot(page, "export")


def test_two_exported_traces_are_aligned_and_their_differences_reached_by_keyboard(opened, shot):
    page = opened(TracePage(with_mod(), without_mod()).html)

    rows = page.locator("run-comparison [role=row]")
    kinds = [row.get_attribute("class") for row in rows.all()[1:]]
    assert kinds == ["same", "different first", "same", "different"]
    page.keyboard.press("n")
    status = page.locator("run-comparison [role=status]")
    assert status.inner_text() == (
        "1 of 2. A: With replace: “ Paris” backtracked, then “ Lyon”. B: Without mods: “ Paris”"
    )
    cards = page.locator("token-card").all_inner_texts()
    assert "Forced by mod replace" in cards[0]
    assert "Sampled from the model" in cards[1]
    page.keyboard.press("p")
    assert status.inner_text() == "2 of 2. A: With replace: nothing. B: Without mods: “!”"
    assert not faults_of_access(page)
    shot(page, "export-two")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_export_in_a_narrow_window_has_no_scroll_bar_at_its_bottom(opened, theme):
    page = opened(TracePage(with_mod(), without_mod()).html)
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.set_viewport_size({"width": 380, "height": 800})

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not faults_of_access(page)


def test_long_words_of_names_and_errors_break_in_a_narrow_window(opened):
    name = "x" * 300
    trace = with_mod()
    trace.mods, trace.error, trace.model = [TraceMod(name=name)], name, name
    trace.tokens[3].mod, trace.tokens[3].text = name, name
    page = opened(TracePage(trace).html)
    page.set_viewport_size({"width": 380, "height": 800})
    page.locator("token-list").focus()
    for _ in range(4):
        page.keyboard.press("ArrowDown")

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_direction_marks_of_a_token_are_named_and_reverse_nothing(opened):
    trace = with_mod()
    trace.tokens[0].text = "It\u202e\u2066"
    page = opened(TracePage(trace).html)
    page.locator("token-list").focus()
    page.keyboard.press("Home")

    assert page.locator("token-list").inner_text().startswith("It[U+202E][U+2066] is")
    assert "\u202e" not in page.locator("token-card").inner_text()


def test_a_notebook_shows_the_same_page_in_a_frame(opened):
    html = TracePage(with_mod())._repr_html_()
    page = opened(f"<!doctype html><title>A notebook</title><div>{html}</div>")

    frame = page.frame_locator("iframe")
    frame.locator("token-list .removed").click()
    assert "Backtracked by mod replace" in frame.locator("token-card").inner_text()
    assert page.evaluate("window.evil") is None


def test_ten_thousand_tokens_are_aligned(opened, record_property):
    tokens = [token(i, i, " a" if i % 50 else " b") for i in range(10_000)]
    other = [*tokens[:5000], *(token(i, i, " c") for i in range(5000, 5100)), *tokens[5100:]]
    page = opened(TracePage(Trace(id="a", tokens=tokens), Trace(id="b", tokens=other)).html)

    page.wait_for_selector("run-comparison .first")
    took = page.evaluate(
        """() => {
          const comparison = document.querySelector("run-comparison");
          const began = performance.now();
          comparison.update();
          return performance.now() - began;
        }"""
    )
    record_property("milliseconds", took)
    print(took)  # noqa: T201  # `pytest -s` shows it
    assert page.locator("run-comparison .different").count() >= 1
