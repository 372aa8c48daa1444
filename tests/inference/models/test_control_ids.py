"""Which tokens of a vocabulary are not content."""

from types import SimpleNamespace

from concordance_inference.harmony.vocabulary import NAMES
from concordance_inference.models.control_ids import control_ids, header_ids


def tokenizer_of(**special_by_name):
    """A tokenizer with added tokens; each is special, or not."""
    added = {
        i: SimpleNamespace(content=name, special=special)
        for i, (name, special) in enumerate(special_by_name.items())
    }
    special_ids = frozenset(i for i, token in added.items() if token.special)
    return SimpleNamespace(
        hf=SimpleNamespace(added_tokens_decoder=added), special_token_ids=special_ids
    )


def named(ids, tokenizer):
    return {tokenizer.hf.added_tokens_decoder[i].content for i in ids}


def test_special_tokens_and_marks_of_reasoning_and_calls_are_control_tokens():
    marks = {"<|im_end|>": True, "<think>": False, "</think>": False, "<tool_call>": False}
    marks |= {"</tool_call>": False, "[TOOL_CALLS]": False, "<arg_key>": False}
    tokenizer = tokenizer_of(**marks)
    assert named(control_ids(tokenizer), tokenizer) == set(marks)


def test_other_added_tokens_are_content():
    tokenizer = tokenizer_of(**{"    ": False, "<td>": False, "\n": False, ">": False, "[": False})
    assert control_ids(tokenizer) == frozenset()


def test_tokens_that_open_headers_are_those_of_harmony():
    tokenizer = tokenizer_of(**dict.fromkeys(NAMES.values(), True))
    opening = {"<|start|>", "<|channel|>", "<|constrain|>"}
    assert named(header_ids(tokenizer), tokenizer) == opening
    assert header_ids(tokenizer_of(**{"<|im_start|>": True})) == frozenset()
