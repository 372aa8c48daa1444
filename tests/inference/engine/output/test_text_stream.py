"""TextStream: which text of a completion is final, and when."""

import pytest
from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.engine.output.text_stream import TextStream
from concordance_inference.generation import TextDelta
from concordance_inference.mark import Mark
from concordance_sdk.detokenizer import PieceDetokenizer, WholeDetokenizer
from concordance_sdk.token_bytes import TokenBytes
from hypothesis import given, settings
from hypothesis import strategies as st
from token_families import FAMILIES


def stream(*stops, **options):
    decoder = BytesDecoder(lambda token_id: bytes([token_id]))
    return TextStream(decoder, StopStrings(stops), **options)


def test_released_text_is_returned_once():
    s = stream()
    s.follow(0, b"hello")

    assert s.delta(2) == TextDelta(text="he")
    assert s.delta(2) is None
    assert s.delta(5) == TextDelta(text="llo")


def test_incomplete_character_is_held_back():
    s = stream()
    s.follow(0, "é".encode()[:1])
    assert s.delta(1) is None
    s.follow(1, "é".encode()[1:])

    assert s.delta(2) == TextDelta(text="é")


def test_prefix_of_a_stop_string_is_held_back():
    s = stream("END")
    s.follow(0, b"abE")
    assert s.delta(3) == TextDelta(text="ab")
    s.follow(3, b"x")

    assert s.delta(4) == TextDelta(text="Ex")


def test_stop_string_across_token_boundaries_ends_the_text():
    s = stream("END")
    for i, byte in enumerate(b"abEND"):
        s.follow(i, bytes([byte]))

    assert s.has_stopped
    assert s.stop_string == "END"
    assert (s.text(), s.last_delta()) == ("ab", TextDelta(text="ab"))


@pytest.mark.parametrize(
    ("stops", "ended_by"),
    [(("END", "ND"), "END"), (("EN", "END"), "EN"), (("bE", "END"), "bE"), (("x",), None)],
)
def test_the_stop_string_that_ended_the_text_is_named(stops, ended_by):
    s = stream(*stops)
    s.follow(0, b"abEND")
    assert s.stop_string == ended_by

    s.follow(1, b"")
    assert s.stop_string is None


def test_stop_string_in_hidden_text_ends_the_text_once_it_is_visible():
    s = stream("END", retracts=True)
    s.follow(0, b"abENDcd", num_visible=4)
    assert not s.has_stopped
    assert s.delta(0) == TextDelta(text="abENDcd")

    s.follow(7, b"!", num_visible=8)
    assert (s.has_stopped, s.text()) == (True, "ab")


def test_hidden_text_that_is_removed_is_not_searched_for_stop_strings():
    s = stream("END", retracts=True)
    s.follow(0, b"abENDcd", num_visible=2)
    s.follow(2, b"E?", num_visible=4)
    assert (s.has_stopped, s.text()) == (False, "abE?")


def test_no_text_after_a_stop_string_is_returned():
    s = stream("END")
    s.follow(0, b"abENDcd")

    assert s.delta(7) == TextDelta(text="ab")
    assert s.last_delta() is None


def test_backtracking_over_a_stop_string_continues_the_text():
    s = stream("END")
    s.follow(0, b"abEND")
    s.follow(2, b"cd")

    assert not s.has_stopped
    assert s.text() == "abcd"


def test_last_delta_returns_text_that_was_held_back():
    s = stream("END")
    s.follow(0, b"abE" + "é".encode()[:1])

    assert s.delta(0) is None
    assert s.last_delta() == TextDelta(text="abE\ufffd")


def test_retractions_count_the_characters_that_changed():
    s = stream(retracts=True)
    s.follow(0, b"hello")
    assert s.delta(0) == TextDelta(text="hello")
    s.follow(2, b"y")

    assert s.delta(0) == TextDelta(text="y", retracted=3)


def test_retraction_without_new_text_is_returned():
    s = stream(retracts=True)
    s.follow(0, b"hello")
    s.delta(0)
    s.follow(4, b"")

    assert s.delta(0) == TextDelta(text="", retracted=1)


# Stop strings across token boundaries


def borders(text):
    """The same bytes as one list of tokens, one by one, and in two halves."""
    data = text.encode()
    return [[data], [bytes([byte]) for byte in data], [data[:4], data[4:]]]


@pytest.mark.parametrize("tokens", borders("zabcdefgh"))
def test_stop_string_completed_first_ends_the_text(tokens):
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
def test_streamed_text_ends_at_the_stop_string_for_any_tokenization(said, stops, data):
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


def test_released_prefix_of_a_stop_string_is_held_back_until_the_rest_is_known():
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


def test_run_of_byte_tokens_is_returned_when_it_has_ended():
    s = spm()
    s.follow(0, spm_ids("b", "<0x61>"))
    assert s.delta(2) == TextDelta(text="b")
    s.follow(2, spm_ids("b"))

    assert s.delta(3) == TextDelta(text="ab")


def test_run_of_invalid_byte_tokens_is_held_back_until_it_has_ended():
    s = spm()
    s.follow(0, spm_ids("b", "<0x61>", "<0xFF>"))

    assert s.delta(3) == TextDelta(text="b\ufffd\ufffd")
    assert s.text() == "b\ufffd\ufffd"


def test_unreleased_tokens_do_not_make_released_text_final():
    s = spm()
    s.follow(0, spm_ids("<0x61>", "<0xFF>"))
    assert s.delta(1) is None
    s.follow(1, spm_ids("b"))

    assert s.delta(2) == TextDelta(text="ab")


@pytest.mark.parametrize("arrive_together", [True, False])
def test_stop_string_in_an_open_run_ends_the_text_immediately(arrive_together):
    s = spm("\n")
    ids = spm_ids("b", "<0x0A>", "<0xFF>")
    for count, new in [(0, ids)] if arrive_together else enumerate([i] for i in ids):
        s.follow(count, new)

    assert s.has_stopped
    assert s.text() == "b"


def test_run_of_invalid_byte_tokens_is_retracted():
    s = spm(retracts=True)
    s.follow(0, spm_ids("b", "<0x61>"))
    assert s.delta(0) == TextDelta(text="ba")
    s.follow(2, spm_ids("<0xFF>"))

    assert s.delta(0) == TextDelta(text="\ufffd\ufffd", retracted=1)


def test_incomplete_run_is_retracted_at_the_end():
    s = spm(retracts=True)
    s.follow(0, spm_ids("b", "<0x61>", "<0xC3>"))
    assert s.delta(0) == TextDelta(text="ba")

    assert s.last_delta() == TextDelta(text="\ufffd\ufffd", retracted=1)


def test_text_decoded_as_a_whole_is_returned_at_the_end():
    tokenizer = FAMILIES["bpe_suffix"]
    s = TextStream(WholeDetokenizer(tokenizer.decode), StopStrings([]))
    s.follow(0, [tokenizer.token_to_id("a</w>"), tokenizer.token_to_id("b")])

    assert s.delta(2) is None
    assert s.last_delta() == TextDelta(text="a b")


@settings(deadline=None, max_examples=30)
@given(data=st.data())
@pytest.mark.parametrize("name", ["gpt2", "llama2", "gemma", "t5_first", "word_piece", "ctc"])
def test_streamed_text_is_what_the_tokenizer_decodes_despite_backtracks(name, data):
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


# Marks


NAMES = {1: "<|end|>", 2: "<|start|>"}


def marked(*stops, **options):
    decoder = BytesDecoder(lambda token_id: NAMES.get(token_id, chr(token_id)).encode("latin-1"))
    return TextStream(decoder, StopStrings(stops), marked=NAMES, **options)


def test_names_of_marked_tokens_differ_from_the_same_characters_as_text():
    s = marked()
    s.follow(0, [*b"<|end|>", 1, 2])

    assert s.delta(7) == TextDelta(text="<|end|>")
    assert s.delta(9) == TextDelta(text="<|end|><|start|>", marks=(Mark(0, 7, 1), Mark(7, 16, 2)))
    assert s.marks() == (Mark(7, 14, 1), Mark(14, 23, 2))


def test_a_mark_follows_an_incomplete_character():
    s = marked()
    s.follow(0, [0xC3, 1])

    assert s.delta(2) == TextDelta(text="\ufffd<|end|>", marks=(Mark(1, 8, 1),))


@pytest.mark.parametrize("stop", ["|>x", "end|>x", "<|x"])
def test_a_name_that_may_be_the_start_of_a_stop_string_is_held_back_whole(stop):
    s = marked(stop)
    s.follow(0, [97, 1])
    shown = s.delta(2)
    s.follow(2, b"y")

    assert shown.text in ("a", "a<|end|>")
    rest = s.delta(3)
    assert shown.text + rest.text == "a<|end|>y"
    assert sum((shown.marks, rest.marks), ())[0].token_id == 1


def test_a_name_that_a_stop_string_cuts_has_no_mark():
    s = marked("end")
    s.follow(0, [97, 1])

    assert (s.delta(2), s.text(), s.marks()) == (TextDelta(text="a"), "a<|", ())
    assert s.last_delta() == TextDelta(text="<|")


def test_marks_of_removed_tokens_are_removed():
    s = marked(retracts=True)
    s.follow(0, [97, 1, 98, 2])
    assert s.delta(0).marks == (Mark(1, 8, 1), Mark(9, 18, 2))
    s.follow(2, [1])

    assert s.delta(0) == TextDelta(text="<|end|>", retracted=10, marks=(Mark(0, 7, 1),))
    assert s.marks() == (Mark(1, 8, 1), Mark(8, 15, 1))


@given(data=st.data(), retracts=st.booleans())
def test_marks_of_deltas_are_those_of_the_whole_text(data, retracts):
    s, ids, shown, marks, released = marked("b|>", "|>a", retracts=retracts), [], "", [], 0

    def take(delta):
        nonlocal shown, marks
        if delta is None:
            return
        shown = shown[: len(shown) - delta.retracted]
        marks = [mark for mark in marks if mark.end <= len(shown)]
        marks += [Mark(m.begin + len(shown), m.end + len(shown), m.token_id) for m in delta.marks]
        shown += delta.text

    for _ in range(data.draw(st.integers(1, 6))):
        kept = data.draw(st.integers(released, len(ids)))
        new = data.draw(st.lists(st.sampled_from([1, 2, *b"ab|>", 0xC3]), max_size=5))
        s.follow(kept, new)
        ids = ids[:kept] + new
        released = data.draw(st.integers(released, len(ids)))
        take(s.delta(released))
    take(s.last_delta())

    assert shown == s.text()
    assert tuple(marks) == s.marks()
    expected = [token_id for token_id in ids if token_id in NAMES]
    assert [m.token_id for m in marks] == expected[: len(marks)]
    assert all(shown[m.begin : m.end] == NAMES[m.token_id] for m in marks)
