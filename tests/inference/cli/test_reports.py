"""What commands print of reports."""

import pytest
from concordance_inference.cli.reports import reports_after
from concordance_inference.generation import Completed, ReportsDelta, TextDelta
from concordance_shared import EngineError, FinishReason, ModReport

FIRST = ModReport(mod="judge", step=0, data={"verdict": "no"})
SECOND = ModReport(mod="judge", step=2, data={"é": 1})
LINES = ['reported 0 judge {"verdict":"no"}', 'reported 2 judge {"é":1}']


def printed(updates):
    """Return the updates that were passed on, and the lines that followed them."""
    lines = []
    with reports_after(updates, lines.append) as followed:
        passed = list(followed)
        assert not lines
    return passed, lines


def completed(*reports):
    return Completed(text="", token_ids=(), finish_reason=FinishReason.STOP, reports=reports,
                     prompt_tokens=1, completion_tokens=1)  # fmt: skip


def test_reports_are_printed_once_after_the_text():
    updates = [ReportsDelta(reports=(FIRST,)), TextDelta(text="Hi"), completed(FIRST, SECOND)]

    assert printed(updates) == (updates, LINES)


def test_reports_of_a_request_that_is_left_are_printed():
    updates = [ReportsDelta(reports=(FIRST,)), TextDelta(text="Hi")]

    assert printed(updates) == (updates, LINES[:1])


def test_reports_are_printed_before_an_error():
    def updates():
        yield TextDelta(text="Hi")
        error = EngineError("broken")
        error.reports = (FIRST, SECOND)
        raise error

    lines = []
    with pytest.raises(EngineError), reports_after(updates(), lines.append) as followed:
        list(followed)

    assert lines == LINES
