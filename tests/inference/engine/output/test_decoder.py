"""BytesDecoder: a detokenizer for vocabularies defined by a function."""

from concordance_inference.engine.output.decoder import BytesDecoder
from hypothesis import given
from hypothesis import strategies as st


def text_of(decoder, data):
    decoder.extend(data)
    return decoder.text()


def one_byte_decoder(**options):
    return BytesDecoder(lambda token_id: bytes([token_id]), **options)


@given(text=st.text(max_size=20))
def test_decoding_encoded_text_returns_it(text):
    assert text_of(one_byte_decoder(), text.encode()) == text


@given(data=st.binary(max_size=30))
def test_invalid_utf8_is_decoded_as_python_does(data):
    assert text_of(one_byte_decoder(), data) == data.decode("utf-8", "replace")


def test_only_a_leading_space_is_stripped():
    decoder = BytesDecoder(lambda i: [b"", b" a", b" b"][i], strips_leading_space=True)
    decoder.extend((0, 1, 2))

    assert decoder.pieces == ["", "a", " b"]
