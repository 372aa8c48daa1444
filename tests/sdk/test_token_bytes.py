"""The bytes of the tokens of a vocabulary."""

import pytest
from concordance_sdk.token_bytes import TokenBytes
from real_tokenizers import byte_level, sentencepiece
from tokenizers import decoders


def test_byte_level_token_is_its_bytes_and_a_special_token_its_name():
    tokenizer = byte_level()
    tokens = TokenBytes(tokenizer)
    token_ids = tokenizer.encode(" 你<eos>").ids

    assert b"".join(map(tokens.of, token_ids)) == " 你<eos>".encode()


@pytest.mark.parametrize("strips", [False, True])
def test_sentencepiece_token_can_be_a_byte_or_begin_with_a_space(strips):
    tokenizer = sentencepiece()
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] * strips)])
    token_ids = tokenizer.encode("a 你").ids

    assert b"".join(map(TokenBytes(tokenizer).of, token_ids)).lstrip() == "a 你".encode()


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.BPEDecoder(),
        decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.CTC()]
        ),
    ],
)
def test_unsupported_decoder_is_named(decoder):
    tokenizer = sentencepiece()
    tokenizer.decoder = decoder
    tokens = TokenBytes(tokenizer)

    assert not tokens.is_known
    with pytest.raises(ValueError, match=f"decoded by .*{tokens.kinds[-1]}"):
        tokens.of(5)


def test_token_bytes_without_a_tokenizer_are_unknown():
    with pytest.raises(ValueError, match="decoded by no known way"):
        TokenBytes(None).of(5)
