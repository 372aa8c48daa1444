"""Every token of a completion with its provenance, and how it is shown."""

from concordance_inference.cli.transcript import transcript
from concordance_inference.completion import Completion, Usage
from concordance_inference.generation import Token, TokensDelta
from concordance_inference.trace import TokenTrace
from concordance_sdk import FinishReason


def token(text, mod=None):
    return Token(token_id=ord(text[0]) if text else 0, text=text, forced=mod is not None, mod=mod)


def traced(*deltas):
    trace = TokenTrace()
    for delta in deltas:
        trace.apply(delta)
    return trace


BACKTRACKED = (
    TokensDelta(kept=0, tokens=(token("a"), token("b"), token("c"))),
    TokensDelta(kept=1, tokens=(), num_backtracked=2, mod="fix"),
    TokensDelta(kept=1, tokens=(token("d", "fix"),)),
)


def test_backtracked_tokens_remain_before_those_that_replace_them():
    tokens = traced(*BACKTRACKED).tokens

    assert [(t.text, t.provenance, t.forced_by, t.backtracked_by) for t in tokens] == [
        ("a", "sampled", None, None),
        ("b", "backtracked", None, "fix"),
        ("c", "backtracked", None, "fix"),
        ("d", "forced", "fix", None),
    ]


def test_a_forced_token_that_is_backtracked_names_both_mods():
    (entry,) = traced(
        TokensDelta(kept=0, tokens=(token("a", "one"),)),
        TokensDelta(kept=0, tokens=(), num_backtracked=1, mod="two"),
    ).tokens

    assert (entry.forced_by, entry.backtracked_by) == ("one", "two")


def test_a_token_whose_text_changes_is_updated_and_not_repeated():
    trace = traced(
        TokensDelta(kept=0, tokens=(token("x"), token(""))),
        TokensDelta(kept=1, tokens=(token("\N{EURO SIGN}"), token("y"))),
    )

    assert [t.text for t in trace.tokens] == ["x", "\N{EURO SIGN}", "y"]


def test_backtracking_may_change_the_text_of_tokens_that_remain():
    trace = traced(
        TokensDelta(kept=0, tokens=(token("x"), token("y"), token("z"))),
        TokensDelta(kept=1, tokens=(token("Y"),), num_backtracked=1, mod="fix"),
    )

    assert [(t.text, t.provenance) for t in trace.tokens] == [
        ("x", "sampled"),
        ("Y", "sampled"),
        ("z", "backtracked"),
    ]


def test_the_terminal_styles_tokens_by_provenance():
    text = transcript(traced(*BACKTRACKED))

    assert text.plain == "abcd"
    assert [(text.plain[span.start : span.end], span.style) for span in text.spans] == [
        ("b", "red strike"),
        ("c", "red strike"),
        ("d", "bold green"),
    ]


def test_html_escapes_text_and_names_of_mods():
    trace = traced(TokensDelta(kept=0, tokens=(token("<b>", '"mod"'),)))
    completion = Completion(
        text="<b>",
        token_ids=(1,),
        prompt_ids=(1,),
        trace=trace.tokens,
        finish_reason=FinishReason.STOP,
        usage=Usage(prompt_tokens=1, completion_tokens=1, forced_tokens=1),
    )
    html = completion._repr_html_()

    assert "&lt;b&gt;</span>" in html
    assert 'title="forced by &quot;mod&quot;"' in html
    assert "stop; 1 tokens, 1 forced, 0 backtracked" in html
