"""What the engine needs to know of a model, from its tokenizer."""

from types import SimpleNamespace

from concordance_inference.harmony.vocabulary import NAMES
from concordance_inference.models.traits import traits_of


def test_traits_have_the_control_tokens_and_those_that_end_a_format():
    added = {
        i: SimpleNamespace(content=name, special=True) for i, name in enumerate(NAMES.values())
    }
    tokenizer = SimpleNamespace(
        hf=SimpleNamespace(added_tokens_decoder=added),
        special_token_ids=frozenset(added),
        eos_token_ids=frozenset({2}),
        missing_ids=(7,),
        vocab_size=12,
        new_decoder=object,
        encode=lambda text: [10] if text == "\n" else [],
    )
    traits = traits_of(tokenizer, context_length=99)

    assert (traits.vocab_size, traits.context_length, traits.missing_ids) == (12, 99, (7,))
    assert traits.control_ids == set(added)
    assert len(traits.header_ids) == 3
    assert traits.format_ids == {2, 10}
