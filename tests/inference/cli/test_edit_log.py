"""What happened to the tokens of a completion, one line for each edit."""

from concordance_inference.cli.edit_log import EditLog
from concordance_inference.generation import Token, TokensDelta


def token(text, mod=None):
    return Token(token_id=0, text=text, forced=mod is not None, mod=mod)


def lines(*deltas):
    log = EditLog()
    for delta in deltas:
        log.apply(delta)
    return log.lines


def test_sampled_tokens_are_one_line_up_to_the_next_edit():
    assert lines(
        TokensDelta(kept=0, tokens=(token("It"),)),
        TokensDelta(kept=1, tokens=(token(" is"),)),
        TokensDelta(kept=2, tokens=(token(" Paris"),)),
        TokensDelta(kept=2, tokens=(), num_backtracked=1, mod="lyon"),
        TokensDelta(kept=2, tokens=(token(" Ly", "lyon"), token("on", "lyon"))),
        TokensDelta(kept=4, tokens=(token("."),)),
    ) == [
        "sampled 0 'It is Paris'",
        "backtracked 1, to 2, by lyon",
        "forced 2 ' Lyon', by lyon",
        "sampled 4 '.'",
    ]


def test_backtrack_and_forced_tokens_in_one_change_are_two_lines():
    delta = TokensDelta(kept=0, tokens=(token("b", "m"),), num_backtracked=1, mod="m")

    assert lines(TokensDelta(kept=0, tokens=(token("a"),)), delta) == [
        "sampled 0 'a'",
        "backtracked 1, to 0, by m",
        "forced 0 'b', by m",
    ]


def test_repeated_tokens_are_not_added_again():
    assert lines(
        TokensDelta(kept=0, tokens=(token("a"),)),
        TokensDelta(kept=1, tokens=(token(""),)),
        TokensDelta(kept=1, tokens=(token(""), token("é"))),
        TokensDelta(kept=2, tokens=(token("è"),)),
    ) == ["sampled 0 'aè'"]


def test_empty_log_has_no_line():
    assert lines() == lines(TokensDelta(kept=0, tokens=())) == []
