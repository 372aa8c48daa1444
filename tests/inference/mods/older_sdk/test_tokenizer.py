"""The tokenizer as older mods use it."""

from concordance_inference.mods.older_sdk.tokenizer import older_tokenizer
from concordance_sdk.testing import ByteTokenizer, play


def test_the_tokenizer_answers_as_it_used_to(load):
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


def test_a_tokenizer_has_one_older_face_since_others_remember_by_it():
    tokenizer = ByteTokenizer()

    assert older_tokenizer(tokenizer) is older_tokenizer(tokenizer)
