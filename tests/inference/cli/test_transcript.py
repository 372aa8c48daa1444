"""A completion in colour, and marked on a pipe."""

from concordance_inference.cli.transcript import marked, transcript
from concordance_inference.generation import Token, TokensDelta
from concordance_inference.trace import TokenTrace


def token(text, *, forced=False):
    return Token(token_id=0, text=text, forced=forced, mod="lyon" if forced else None)


def traced():
    trace = TokenTrace()
    trace.apply(TokensDelta(kept=0, tokens=(token("It is"), token(" in"), token(" Paris"))))
    forced = (token(" Lyon", forced=True), token(",", forced=True))
    trace.apply(TokensDelta(kept=2, tokens=forced, num_backtracked=1, mod="lyon"))
    trace.apply(TokensDelta(kept=4, tokens=(token(" yes"), token(""))))
    return trace


def test_forced_and_backtracked_runs_are_marked_on_a_pipe():
    assert marked(traced()) == "It is in[- Paris-]{+ Lyon,+} yes"


def test_backtracked_tokens_are_struck_out_in_a_terminal():
    text = transcript(traced())

    assert text.plain == "It is in Paris Lyon, yes"
    assert {str(span.style) for span in text.spans} >= {"red strike", "bold green"}


def test_tokens_without_text_leave_no_marks():
    trace = TokenTrace()
    trace.apply(TokensDelta(kept=0, tokens=(token("", forced=True), token("a"))))

    assert marked(trace) == "a"
