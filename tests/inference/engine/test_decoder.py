"""Text of tokens that come and go, and never half a character."""

import pytest
from concordance_inference.engine.decoder import BytesDecoder, WindowDecoder
from hypothesis import given
from hypothesis import strategies as st


def one_byte_decoder(**options):
    return BytesDecoder(lambda token_id: bytes([token_id]), **options)


def window_decoder():
    return WindowDecoder(lambda ids: bytes(ids).decode("utf-8", "replace"))


def text_of(decoder, data):
    for byte in data:
        decoder.append(byte)
    return "".join(decoder.pieces) + decoder.rest()


@pytest.mark.parametrize("make", [one_byte_decoder, window_decoder])
@given(text=st.text(max_size=20))
def test_text_comes_back(make, text):
    assert text_of(make(), text.encode()) == text


@given(data=st.binary(max_size=30))
def test_bytes_that_are_no_text_become_what_python_makes_of_them(data):
    assert text_of(one_byte_decoder(), data) == data.decode("utf-8", "replace")


@pytest.mark.parametrize("make", [one_byte_decoder, window_decoder])
def test_no_piece_holds_half_a_character(make):
    decoder = make()
    for byte in "é日😀".encode():
        decoder.append(byte)

    assert [piece for piece in decoder.pieces if piece] == ["é", "日", "😀"]


@pytest.mark.parametrize("make", [one_byte_decoder, window_decoder])
@given(data=st.data())
def test_text_depends_on_the_tokens_and_not_on_the_way_they_came(make, data):
    decoder, tokens = make(), []
    for _ in range(data.draw(st.integers(0, 8))):
        kept = data.draw(st.integers(0, len(tokens)))
        more = list(data.draw(st.text(max_size=4)).encode())[: data.draw(st.integers(0, 9))]
        decoder.truncate(kept)
        for byte in more:
            decoder.append(byte)
        tokens = tokens[:kept] + more

    assert "".join(decoder.pieces) + decoder.rest() == text_of(make(), tokens)


def test_what_is_open_at_the_end_is_told_apart():
    decoder = one_byte_decoder()
    for byte in "aé".encode()[:-1]:
        decoder.append(byte)

    assert ("".join(decoder.pieces), decoder.rest()) == ("a", "\ufffd")


def test_a_leading_space_can_be_stripped_and_later_ones_stay():
    decoder = BytesDecoder(lambda i: [b"", b" a", b" b"][i], strips_leading_space=True)
    for token_id in (0, 1, 2):
        decoder.append(token_id)

    assert list(decoder.pieces) == ["", "a", " b"]


def test_a_window_that_never_closes_is_bounded():
    decoder = window_decoder()
    for _ in range(1000):
        decoder.append(0xFF)

    assert "".join(decoder.pieces).count("\ufffd") > 900


def test_a_window_decoder_keeps_the_spaces_that_decoding_alone_would_lose():
    words = ["Hello", "my", "world"]
    decoder = WindowDecoder(lambda ids: " ".join(words[i] for i in ids))
    for token_id in range(3):
        decoder.append(token_id)

    assert "".join(decoder.pieces) == "Hello my world"
