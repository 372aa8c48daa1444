"""What is shown of a completion, and when."""

import pytest
from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.engine.output.text_stream import TextStream
from concordance_inference.generation import TextDelta
from concordance_sdk.detokenizer import PieceDetokenizer, WholeDetokenizer
from concordance_sdk.token_bytes import TokenBytes
from hypothesis import given, settings
from hypothesis import strategies as st
from token_families import FAMILIES


def stream(*stops, **options):
    decoder = BytesDecoder(lambda token_id: bytes([token_id]))
    return TextStream(decoder, StopStrings(stops), **options)


def test_what_is_released_is_shown_once():
    s = stream()
    s.follow(0, b"hello")

    assert s.delta(2) == TextDelta(text="he")
    assert s.delta(2) is None
    assert s.delta(5) == TextDelta(text="llo")


def test_half_a_character_waits_for_the_other_half():
    s = stream()
    s.follow(0, "é".encode()[:1])
    assert s.delta(1) is None
    s.follow(1, "é".encode()[1:])

    assert s.delta(2) == TextDelta(text="é")


def test_what_may_begin_a_stop_string_waits():
    s = stream("END")
    s.follow(0, b"abE")
    assert s.delta(3) == TextDelta(text="ab")
    s.follow(3, b"x")

    assert s.delta(4) == TextDelta(text="Ex")


def test_a_stop_string_over_token_borders_ends_the_text():
    s = stream("END")
    for i, byte in enumerate(b"abEND"):
        s.follow(i, bytes([byte]))

    assert s.has_stopped
    assert (s.text(), s.last_delta()) == ("ab", TextDelta(text="ab"))


def test_nothing_behind_a_stop_string_is_shown():
    s = stream("END")
    s.follow(0, b"abENDcd")

    assert s.delta(7) == TextDelta(text="ab")
    assert s.last_delta() is None


def test_a_stop_string_that_is_taken_back_did_not_stop():
    s = stream("END")
    s.follow(0, b"abEND")
    s.follow(2, b"cd")

    assert not s.has_stopped
    assert s.text() == "abcd"


def test_the_end_shows_what_was_held_back():
    s = stream("END")
    s.follow(0, b"abE" + "é".encode()[:1])

    assert s.delta(0) is None
    assert s.last_delta() == TextDelta(text="abE\ufffd")


def test_retractions_say_how_much_was_taken_back():
    s = stream(retracts=True)
    s.follow(0, b"hello")
    assert s.delta(0) == TextDelta(text="hello")
    s.follow(2, b"y")

    assert s.delta(0) == TextDelta(text="y", retracted=3)


def test_a_retraction_alone_is_told_too():
    s = stream(retracts=True)
    s.follow(0, b"hello")
    s.delta(0)
    s.follow(4, b"")

    assert s.delta(0) == TextDelta(text="", retracted=1)


# Stop strings, whatever the borders of tokens


def borders(text):
    """The same bytes as one list of tokens, one by one, and in two halves."""
    data = text.encode()
    return [[data], [bytes([byte]) for byte in data], [data[:4], data[4:]]]


@pytest.mark.parametrize("tokens", borders("zabcdefgh"))
def test_the_stop_string_that_is_completed_first_ends_the_text(tokens):
    s, shown, count = stream("cd", "abcdef"), "", 0
    for added in tokens:
        s.follow(count, added)
        count += len(added)
        shown += getattr(s.delta(count), "text", "")
    last = s.last_delta()

    assert s.text() == "zab"
    assert shown + (last.text if last else "") == "zab"


@given(
    said=st.text("abcd", max_size=12),
    stops=st.lists(st.text("abcd", min_size=1, max_size=4), max_size=3),
    data=st.data(),
)
def test_a_stream_shows_the_text_up_to_the_stop_string_however_tokens_come(said, stops, data):
    ends = [(at + len(stop), at) for stop in stops if (at := said.find(stop)) >= 0]
    expected = said[: min(ends)[1]] if ends else said
    s, shown, count = stream(*stops), "", 0
    while count < len(said):
        size = data.draw(st.integers(1, len(said) - count))
        s.follow(count, said[count : count + size].encode())
        count += size
        released = data.draw(st.integers(0, count))
        shown += getattr(s.delta(released), "text", "")
        assert expected.startswith(shown)
    shown += getattr(s.last_delta(), "text", "")

    assert shown == s.text() == expected
    assert s.has_stopped == bool(ends)


def test_released_text_that_may_begin_a_stop_string_waits_for_what_replaces_the_rest():
    s = stream("ab")
    s.follow(0, b"ax")
    assert s.delta(1) is None
    s.follow(1, b"b")

    assert s.has_stopped
    assert s.last_delta() is None


# Tokenizers whose text is final later than their tokens


def spm(*stops, **options):
    tokenizer = FAMILIES["llama2"]
    return TextStream(PieceDetokenizer(TokenBytes(tokenizer)), StopStrings(stops), **options)


def spm_ids(*names):
    return [FAMILIES["llama2"].token_to_id(name) for name in names]


def test_a_run_of_byte_tokens_is_shown_when_it_has_ended():
    s = spm()
    s.follow(0, spm_ids("b", "<0x61>"))
    assert s.delta(2) == TextDelta(text="b")
    s.follow(2, spm_ids("b"))

    assert s.delta(3) == TextDelta(text="ab")


def test_a_run_that_turns_out_to_be_no_text_was_not_shown():
    s = spm()
    s.follow(0, spm_ids("b", "<0x61>", "<0xFF>"))

    assert s.delta(3) == TextDelta(text="b\ufffd\ufffd")
    assert s.text() == "b\ufffd\ufffd"


def test_what_is_not_released_does_not_settle_what_is():
    s = spm()
    s.follow(0, spm_ids("<0x61>", "<0xFF>"))
    assert s.delta(1) is None
    s.follow(1, spm_ids("b"))

    assert s.delta(2) == TextDelta(text="ab")


@pytest.mark.parametrize("at_once", [True, False])
def test_a_stop_string_in_an_open_run_ends_the_text_at_once(at_once):
    s = spm("\n")
    ids = spm_ids("b", "<0x0A>", "<0xFF>")
    for count, new in [(0, ids)] if at_once else enumerate([i] for i in ids):
        s.follow(count, new)

    assert s.has_stopped
    assert s.text() == "b"


def test_a_run_that_turns_out_to_be_no_text_is_retracted():
    s = spm(retracts=True)
    s.follow(0, spm_ids("b", "<0x61>"))
    assert s.delta(0) == TextDelta(text="ba")
    s.follow(2, spm_ids("<0xFF>"))

    assert s.delta(0) == TextDelta(text="\ufffd\ufffd", retracted=1)


def test_a_run_that_ends_incomplete_is_retracted_at_the_end():
    s = spm(retracts=True)
    s.follow(0, spm_ids("b", "<0x61>", "<0xC3>"))
    assert s.delta(0) == TextDelta(text="ba")

    assert s.last_delta() == TextDelta(text="\ufffd\ufffd", retracted=1)


def test_text_that_is_decoded_as_a_whole_is_shown_at_the_end():
    tokenizer = FAMILIES["bpe_suffix"]
    s = TextStream(WholeDetokenizer(tokenizer.decode), StopStrings([]))
    s.follow(0, [tokenizer.token_to_id("a</w>"), tokenizer.token_to_id("b")])

    assert s.delta(2) is None
    assert s.last_delta() == TextDelta(text="a b")


@settings(deadline=None, max_examples=30)
@given(data=st.data())
@pytest.mark.parametrize("name", ["gpt2", "llama2", "gemma", "t5_first", "word_piece", "ctc"])
def test_what_is_shown_is_what_the_tokenizer_decodes_whatever_is_taken_back(name, data):
    tokenizer = FAMILIES[name]
    pieces = TokenBytes(tokenizer)
    made = PieceDetokenizer(pieces) if pieces.is_known else WholeDetokenizer(_decode(tokenizer))
    s, ids, shown, released = TextStream(made, StopStrings([])), [], "", 0
    for _ in range(data.draw(st.integers(1, 6))):
        kept = data.draw(st.integers(released, len(ids)))
        every = st.integers(0, tokenizer.get_vocab_size() - 1)
        new = data.draw(st.lists(every, max_size=5))
        s.follow(kept, new)
        ids = ids[:kept] + new
        released = data.draw(st.integers(released, len(ids)))
        shown += getattr(s.delta(released), "text", "")
        assert _decode(tokenizer)(ids).startswith(shown)
    shown += getattr(s.last_delta(), "text", "")

    assert shown == s.text() == _decode(tokenizer)(ids)


def _decode(tokenizer):
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=False)
