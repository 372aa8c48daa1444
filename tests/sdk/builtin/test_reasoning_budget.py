"""A model may reason for so long, and no longer."""

import pytest
from concordance_sdk import ModRaisedError, use
from concordance_sdk.builtin import ReasoningBudget
from concordance_sdk.constraints import ChoicesStrat, constrain
from concordance_sdk.testing import play


def test_reasoning_is_closed_after_max_tokens():
    played = play(use(ReasoningBudget, max_tokens=5), says="<think>aaaaaso")

    assert played.text == "<think>aaaaa</think>so"
    played.expect_events("added 12 '</think>' (forced)")


def test_reasoning_that_ends_by_itself_is_not_changed():
    played = play(use(ReasoningBudget, max_tokens=20), says="<think>aaa</think>so")

    assert (played.text, played.num_forced) == ("<think>aaa</think>so", 0)


def test_reasoning_opened_by_the_prompt_counts():
    played = play(use(ReasoningBudget, max_tokens=2), says="aaso", prompt="Q<think>\n")

    assert played.text == "aa</think>so"


def test_partial_closing_tag_is_completed():
    played = play(use(ReasoningBudget, max_tokens=6), says="<think>aa</thso")

    assert played.text == "<think>aa</think>so"


def test_custom_tags_and_text_after_the_closing_tag():
    budget = use(
        ReasoningBudget,
        max_tokens=1,
        open_tag="[analysis]",
        close_tag="[end]",
        closing="...[end][final]",
    )

    assert play(budget, says="[analysis]a42").text == "[analysis]a...[end][final]42"


def test_each_reasoning_span_has_the_full_budget():
    played = play(use(ReasoningBudget, max_tokens=2), says="<think>aab<think>aac")

    assert played.text == "<think>aa</think>b<think>aa</think>c"


def test_zero_budget_closes_immediately():
    assert play(use(ReasoningBudget, max_tokens=0), says="<think>so").text == "<think></think>so"


def test_closing_text_without_the_tag_is_rejected():
    with pytest.raises(ModRaisedError, match="does not contain '</think>'"):
        play(use(ReasoningBudget, max_tokens=1, closing="stop"), says="")


def test_prompt_that_mentions_the_tag_opens_no_reasoning():
    prompt = "What does <think> mean?<|im_end|>\n<|im_start|>assistant\n"

    assert play(use(ReasoningBudget, max_tokens=2), says="abcdef", prompt=prompt).text == "abcdef"


@pytest.mark.parametrize("stream", [False, True])
def test_zero_budget_closes_reasoning_opened_by_the_prompt(stream):
    budget = use(ReasoningBudget, max_tokens=0)

    assert play(budget, says="so", prompt="Q<think>\n", stream=stream).text == "</think>so"
    assert play(budget, says="so", prompt="Q", stream=stream).text == "so"


def test_zero_budget_closes_before_later_mods_write():
    budget, answer = use(ReasoningBudget, max_tokens=0), constrain(ChoicesStrat(["yes", "no"]))

    assert play(budget, answer, says="n", prompt="Q<think>\n").text == "</think>no"
