"""Other words for methods and arguments: each stands for one that exists."""

import inspect

import pytest
from concordance_sdk import Actions, constraints
from concordance_sdk.host import other_words
from concordance_sdk.script import ScriptRun
from concordance_shared import Logits


@pytest.mark.parametrize(
    ("words", "owner"),
    [
        (other_words.METHOD_FOR, Actions),
        (other_words.STEP_FOR, ScriptRun),
        (other_words.LOGITS_METHOD_FOR, Logits),
    ],
)
def test_each_word_is_for_a_method_that_exists_and_is_none_itself(words, owner):
    assert not [name for name in words.values() if not hasattr(owner, name)]
    assert not [word for word in words if hasattr(owner, word)]


def test_each_word_for_an_argument_is_for_one_of_generate():
    arguments = inspect.signature(ScriptRun.generate).parameters
    assert set(other_words.ARGUMENT_FOR.values()) <= set(arguments)
    assert not set(other_words.ARGUMENT_FOR) & set(arguments)
    for written in other_words.CONSTRAINT_FOR.values():
        argument, _, name = written.removesuffix("(...)").partition("=")
        assert argument == "constraint"
        assert hasattr(constraints, name)
