import base64
import hashlib
import json
import re

import pytest
from concordance_inference.traces import trace_page
from concordance_inference.traces.schema import Alternative, Trace, TraceStep, TraceToken
from concordance_inference.traces.trace_page import TracePage
from concordance_shared import InvalidRequestError

EVIL = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> & \" '"


def data_of(page):
    (data,) = re.findall(r'<script type="application/json" id="traces">(.*)</script>', page)
    return json.loads(data)


def trace_of(num_tokens):
    alternatives = [Alternative(token_id=i, text=" x", logprob=-1.0) for i in range(5)]
    return Trace(
        id="t",
        tokens=[
            TraceToken(index=i, position=i, token_id=i, text=" a", alternatives=alternatives)
            for i in range(num_tokens)
        ],
        steps=[TraceStep(index=i, step=i, rows=1, row=0, tokens=1) for i in range(num_tokens)],
    )


def test_no_text_of_a_trace_ends_its_element_or_the_title():
    token = TraceToken(index=0, position=0, token_id=1, text=EVIL)
    page = TracePage(Trace(id=EVIL, prompt=EVIL, text=EVIL, tokens=[token])).html

    assert page.count("</script>") == 2
    assert "<img" not in page
    (trace,) = data_of(page)
    assert trace["prompt"] == trace["tokens"][0]["text"] == EVIL


def test_the_policy_of_the_page_allows_its_own_script_and_style_only():
    page = TracePage(Trace(id="a")).html

    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag in ('<script type="module">(.*?)</script>', "<style>(.*?)</style>"):
        (text,) = re.findall(tag, page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not re.findall(r'(?:src|href)="', page)


def test_a_trace_that_is_too_large_loses_passes_then_alternatives_then_tokens(monkeypatch):
    trace, sizes = trace_of(400), {}
    for room in (1_000_000, 130_000, 40_000, 10_000):
        monkeypatch.setattr(trace_page, "MAX_BYTES", room)
        (found,) = data_of(TracePage(trace).html)
        sizes[room] = (
            len(found["steps"]),
            "alternatives" in found["tokens"][0],
            len(found["tokens"]),
            found["is_truncated"],
        )

    assert sizes[1_000_000] == (400, True, 400, False)
    assert sizes[130_000] == (0, True, 400, True)
    assert sizes[40_000] == (0, False, 400, True)
    assert sizes[10_000][2] < 400
    assert len(trace.steps) == 400


def test_a_page_has_one_trace_or_two():
    assert len(data_of(TracePage(Trace(id="a"), Trace(id="b")).html)) == 2
    for traces in ((), (Trace(id="a"),) * 3):
        with pytest.raises(InvalidRequestError, match="one trace or two; got"):
            TracePage(*traces)


def test_a_notebook_gets_the_page_in_a_frame_with_a_sandbox():
    html = TracePage(Trace(id="a", text=EVIL))._repr_html_()

    assert html.startswith("<iframe srcdoc=")
    assert 'sandbox="allow-scripts"' in html
    assert html.count("<") == 2  # the frame's own tags: the page is an attribute
