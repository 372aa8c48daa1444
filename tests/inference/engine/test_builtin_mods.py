"""The SDK's built-in mods in the engine itself: the same alone, in a batch, and streamed."""

import re
from functools import cache

import pytest
from concordance_inference.generation import SamplingParams
from concordance_sdk import builtin
from concordance_sdk.constraints import ChoicesStrat, constrain
from concordance_sdk.self_prompt import self_prompt_mod
from tiny import ask, call, make_engine, run

#: Each with its parameters, given a letter that the model says by itself.
MODS = {
    "Avoid": lambda said: {"words": [said], "whole_words": False},
    "InjectAfterSentences": lambda said: {"text": " Hm."},
    "InjectAfterTokens": lambda said: {"text": "[5]", "count": 5},
    "InjectAtStart": lambda said: {"text": "Hi. "},
    "ReasoningBudget": lambda said: {"max_tokens": 4},
    "Replace": lambda said: {"find": said, "replacement": "00"},
    "BiasWords": lambda said: {"words": ["yes"], "strength": 9.0},
    "StopAt": lambda said: {"phrases": [said]},
}
NAMES = list(MODS)


def request(name, *mods, **options):
    number = NAMES.index(name)
    sampling = SamplingParams(temperature=1.0, seed=number)
    return ask(f"Q{number}<think>", *mods, max_tokens=30, sampling=sampling, **options)


@cache
def letter_said(name):
    """The first letter that the model says without a mod."""
    text = run(make_engine(), request(name)).end.text
    return next(char for char in text if char.isascii() and char.isalpha())


def steered(name, **options):
    parameters = MODS[name](letter_said(name))
    return request(name, call(getattr(builtin, name), **parameters), **options)


def test_builtin_mods_act_the_same_alone_and_in_a_batch():
    alone = [run(make_engine(), steered(name)).ids for name in NAMES]
    together = [a.ids for a in run(make_engine(), *map(steered, NAMES))]

    assert together == alone


@pytest.mark.parametrize("name", NAMES)
def test_builtin_mods_show_the_same_text_in_a_stream(name):
    whole = run(make_engine(), steered(name))
    streamed = run(make_engine(), steered(name, stream=True))

    assert streamed.ids == whole.ids
    assert streamed.shown == whole.end.text


def test_builtin_mods_change_the_completion():
    answers = run(make_engine(), *map(steered, NAMES))
    done = {name: answer.end for name, answer in zip(NAMES, answers, strict=True)}

    assert done["InjectAtStart"].text.startswith("Hi. ")
    assert "[5]" in done["InjectAfterTokens"].text
    assert "</think>" in done["ReasoningBudget"].text
    assert "yes" in done["BiasWords"].text.lower()  # with a capital letter, too
    for name in ("Avoid", "Replace", "StopAt"):
        assert letter_said(name) not in done[name].text
        assert done[name].backtracked_tokens
    assert "00" in done["Replace"].text
    assert done["StopAt"].finish_reason == "stop"


def test_start_text_precedes_other_writers():
    yes_or_no = ChoicesStrat(["yes", "no"])
    start = call(builtin.InjectAtStart, text="Hi. ")
    sure = self_prompt_mod(prompt="Sure? ", constraint=yes_or_no, suffix=". ")

    def asking(**options):
        return ask("Q", start, sure, constrain(yes_or_no), max_tokens=40, **options)

    whole, streamed = run(make_engine(), asking(), asking(stream=True))

    assert re.fullmatch(r"Hi\. Sure\? (yes|no)\. (yes|no)", whole.end.text)
    assert streamed.shown == whole.end.text
