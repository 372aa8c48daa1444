"""What is shown of a completion, and when."""

from concordance_inference.engine.decoder import BytesDecoder
from concordance_inference.engine.stop import StopStrings
from concordance_inference.engine.text_stream import TextStream
from concordance_inference.generation import TextDelta


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
