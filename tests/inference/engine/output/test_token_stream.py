"""TokenStream: every edit of a completion, token by token."""

from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.engine.output.token_stream import TokenStream
from concordance_inference.generation import Token, TokensDelta
from concordance_sdk.host.request_state import Change


def test_edits_become_tokens_with_their_text():
    watched = TokenStream(BytesDecoder(lambda token_id: bytes([token_id])))

    deltas = watched.deltas(
        [
            Change(0, tuple(b"ab"), False),
            Change(1, (), True, "fix"),
            Change(1, (99,), True, "fix"),
        ]
    )

    assert deltas == [
        TokensDelta(
            kept=0,
            tokens=(
                Token(token_id=97, text="a", forced=False),
                Token(token_id=98, text="b", forced=False),
            ),
        ),
        TokensDelta(kept=1, tokens=(), num_backtracked=1, mod="fix"),
        TokensDelta(kept=1, tokens=(Token(token_id=99, text="c", forced=True, mod="fix"),)),
    ]


def test_incomplete_character_is_text_of_its_last_token_at_the_end_only():
    stream = TokenStream(BytesDecoder(lambda token_id: bytes([token_id])))
    euro = "\N{EURO SIGN}".encode()
    (delta,) = stream.deltas([Change(0, (*b"a", *euro[:2]), forced=False)])

    assert [token.text for token in delta.tokens] == ["a", "", ""]
    assert stream.last_delta() == TokensDelta(
        kept=2, tokens=(Token(token_id=euro[1], text="\ufffd", forced=False),)
    )


def test_no_last_delta_after_complete_characters():
    stream = TokenStream(BytesDecoder(lambda token_id: bytes([token_id])))
    stream.deltas([Change(0, (*b"a",), forced=False)])

    assert stream.last_delta() is None
