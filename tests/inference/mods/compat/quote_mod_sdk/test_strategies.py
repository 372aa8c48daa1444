"""Strategy constructors in mods."""

import pytest
from concordance_sdk.testing import play
from concordance_shared import ModRaisedError

ASKED = """
from quote_mod_sdk import mod
from quote_mod_sdk.self_prompt import SelfPrompt
from quote_mod_sdk.strategies.primitives import CharsMode, UntilEndType
from quote_mod_sdk.strategies.strategy_constructor import (
    CharsStrat, ChoicesStrat, ListStrat, UntilStrat,
)

strat = {strategy}
{change}
asked = SelfPrompt(prompt="? ", strategy=strat, completion="!")

@mod
def ask(event, actions, tokenizer):
    return asked.handle_event(event, actions, tokenizer)
"""


def source(strategy, change=""):
    return ASKED.format(strategy=strategy, change=change)


@pytest.mark.parametrize(
    ("strategy", "change", "says", "text"),
    [
        ("ChoicesStrat(['a', 'b'])", "strat.choices = ['c', 'd']", "d", "? d!"),
        ("ChoicesStrat([])", "strat.choices.append('c')", "_", "? c!"),
        ("CharsStrat(CharsMode.NUMERIC, stop=9)", "strat.stop = 2", "345", "? 34!"),
        ("UntilStrat('', UntilEndType.ANYCHAR, '.')", "strat.end = ';'", "a.;", "? a.;!"),
        ("ListStrat(ChoicesStrat(['a']), min=9)", "strat.min = strat.max = 2", "_", "? a, a!"),
    ],
)
def test_fields_of_a_strategy_constructor_are_mutable(load, strategy, change, says, text):
    definition = load(source(strategy, change))

    assert play(definition, script=f"__{says}").text.startswith(text)


@pytest.mark.parametrize(
    ("strategy", "script", "text"),
    [
        (
            "ListStrat(elements=[ChoicesStrat(['a']), ChoicesStrat(['b'])], min=1, max=5)",
            "",
            "a, b",
        ),
        ("ListStrat(ChoicesStrat(['a']), max=0, min=0)", "a, a, a!", "a, a, a"),
        ("ListStrat(ChoicesStrat(['a']), sep='', min=2, max=2)", "", "a, a"),
    ],
)
def test_empty_arguments_of_a_list_are_ignored(load, strategy, script, text):
    definition = load(source(strategy))

    assert play(definition, script=f"__{script}").text.startswith(f"? {text}!")


def test_a_strategy_without_choices_is_an_error(load):
    with pytest.raises(ModRaisedError, match="needs at least one choice"):
        play(load(source("ChoicesStrat([])")), script="")
