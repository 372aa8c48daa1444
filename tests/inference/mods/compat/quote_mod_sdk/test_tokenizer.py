"""The tokenizer with the interface of `transformers`."""

import numpy as np
import pytest
import real_tokenizers
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_inference.mods.compat.quote_mod_sdk.tokenizer import older_tokenizer
from concordance_sdk.testing import ByteTokenizer, play
from transformers import PreTrainedTokenizerFast


def test_tokenizer_has_the_interface_of_transformers(load):
    definition = load(
        """
from quote_mod_sdk import Prefilled, mod, tokenize

@mod
def look(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        ids = tokenizer.encode("ab", add_special_tokens=True)
        assert ids == tokenizer("ab")["input_ids"] == tokenize("ab", tokenizer) == [97, 98]
        assert tokenizer.decode(97) == "a" == tokenizer.convert_ids_to_tokens(97)
        assert tokenizer.decode([97, 256], skip_special_tokens=True, clean_up=False) == "a"
        assert len(tokenizer) == tokenizer.vocab_size == 257
        assert (tokenizer.eos_token_id, tokenizer.eos_token) == (256, "<eos>")
        assert tokenizer.get_vocab()["a"] == 97
        return actions.force_output(ids)
"""
    )

    assert play(definition, says="").text == "ab"


def test_older_tokenizer_is_cached():
    tokenizer = ByteTokenizer()

    assert older_tokenizer(tokenizer) is older_tokenizer(tokenizer)


TEXT = "Permission is granted, free of charge, to anybody: 3 é\n"
ASKED = {
    "encode": lambda t: t.encode(TEXT, add_special_tokens=False),
    "encode two": lambda t: t.encode(TEXT, "or not", add_special_tokens=False),
    "encode to an array": lambda t: np.asarray(t.encode("to", return_tensors="np")).tolist(),
    "decode": lambda t: t.decode([*t.encode(TEXT, add_special_tokens=False), t.eos_token_id]),
    "decode without special tokens": lambda t: t.decode([65, t.eos_token_id], True),
    "decode one": lambda t: t.decode(65),
    "decode an array": lambda t: t.decode(np.array([65, 66])),
    "batch_decode": lambda t: t.batch_decode([[65], [66, t.eos_token_id]]),
    "batch_decode an array": lambda t: t.batch_decode(np.array([[65, 66], [67, 68]])),
    "call": lambda t: t(TEXT, add_special_tokens=False)["input_ids"],
    "call, by name": lambda t: t(TEXT, add_special_tokens=False).attention_mask,
    "call with several": lambda t: t([TEXT, "a"], add_special_tokens=False).input_ids,
    "call for an array": lambda t: t("to", return_tensors="np").attention_mask.tolist(),
    "call, cut": lambda t: t(TEXT, truncation=True, max_length=3)["input_ids"],
    "call for offsets": lambda t: t("to be", return_offsets_mapping=True)["offset_mapping"],
    "call, filled up": lambda t: t("to", padding="max_length", max_length=9)["input_ids"],
    "tokenize": lambda t: t.tokenize(TEXT),
    "convert_ids_to_tokens": lambda t: t.convert_ids_to_tokens([65, 66]),
    "convert one id": lambda t: t.convert_ids_to_tokens(65),
    "convert_tokens_to_ids": lambda t: t.convert_tokens_to_ids(t.tokenize(TEXT)),
    "convert one token": lambda t: t.convert_tokens_to_ids("<eos>"),
    "convert no token": lambda t: t.convert_tokens_to_ids("no such token"),
    "convert_tokens_to_string": lambda t: t.convert_tokens_to_string(t.tokenize("to be")),
    "special tokens": lambda t: (t.all_special_ids, t.all_special_tokens, t.special_tokens_map),
    "end": lambda t: (t.eos_token, t.eos_token_id, t.bos_token, t.bos_token_id),
    "unknown": lambda t: (t.unk_token, t.unk_token_id, t.pad_token, t.pad_token_id),
    "get_vocab": lambda t: t.get_vocab(),
    "vocab": lambda t: sorted(t.vocab.values()),
    "len": len,
    "contains": lambda t: "to" in t.get_vocab(),
    "the rest": lambda t: (t.get_added_vocab(), t.padding_side, t.is_fast, t.model_max_length),
}


@pytest.fixture(name="hf", scope="module")
def _hf():
    """A byte-level tokenizer: it adds no leading space, as Concordance never does."""
    made = real_tokenizers.byte_level()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>", pad_token="<eos>")


@pytest.mark.parametrize("asked", ASKED)
def test_results_equal_those_of_transformers(hf, asked):
    tokenizer = ModelTokenizer(hf, eos_token_ids=[hf.eos_token_id], vocab_size=len(hf) + 8)

    assert ASKED[asked](older_tokenizer(tokenizer)) == ASKED[asked](hf)
