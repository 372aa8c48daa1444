"""A model may reason for so long, and no longer."""

import pytest
from concordance_sdk import ModRaisedError, use
from concordance_sdk.builtin import ReasoningBudget
from concordance_sdk.constraints import ChoicesStrat, constrain
from concordance_sdk.testing import play


def test_reasoning_is_ended_after_so_many_tokens():
    played = play(use(ReasoningBudget, max_tokens=5), says="<think>aaaaaso")

    assert played.text == "<think>aaaaa</think>so"
    played.expect_events("added 12 '</think>' (forced)")


def test_reasoning_that_ends_by_itself_is_left_alone():
    played = play(use(ReasoningBudget, max_tokens=20), says="<think>aaa</think>so")

    assert (played.text, played.num_forced) == ("<think>aaa</think>so", 0)


def test_a_prompt_that_opened_it_counts():
    played = play(use(ReasoningBudget, max_tokens=2), says="aaso", prompt="Q<think>\n")

    assert played.text == "aa</think>so"


def test_a_tag_that_is_half_said_is_completed():
    played = play(use(ReasoningBudget, max_tokens=6), says="<think>aa</thso")

    assert played.text == "<think>aa</think>so"


def test_other_tags_and_what_has_to_stand_behind_them():
    budget = use(
        ReasoningBudget,
        max_tokens=1,
        open_tag="[analysis]",
        close_tag="[end]",
        closing="...[end][final]",
    )

    assert play(budget, says="[analysis]a42").text == "[analysis]a...[end][final]42"


def test_each_time_it_reasons_it_may_reason_as_long():
    played = play(use(ReasoningBudget, max_tokens=2), says="<think>aab<think>aac")

    assert played.text == "<think>aa</think>b<think>aa</think>c"


def test_no_budget_closes_at_once():
    assert play(use(ReasoningBudget, max_tokens=0), says="<think>so").text == "<think></think>so"


def test_a_closing_without_its_tag_is_refused():
    with pytest.raises(ModRaisedError, match="does not contain '</think>'"):
        play(use(ReasoningBudget, max_tokens=1, closing="stop"), says="")


def test_a_prompt_that_only_speaks_of_the_tag_opened_nothing():
    prompt = "What does <think> mean?<|im_end|>\n<|im_start|>assistant\n"

    assert play(use(ReasoningBudget, max_tokens=2), says="abcdef", prompt=prompt).text == "abcdef"


@pytest.mark.parametrize("stream", [False, True])
def test_a_budget_of_nothing_ends_at_once_what_the_prompt_opened(stream):
    budget = use(ReasoningBudget, max_tokens=0)

    assert play(budget, says="so", prompt="Q<think>\n", stream=stream).text == "</think>so"
    assert play(budget, says="so", prompt="Q", stream=stream).text == "so"


def test_it_ends_at_once_before_what_later_mods_write():
    budget, answer = use(ReasoningBudget, max_tokens=0), constrain(ChoicesStrat(["yes", "no"]))

    assert play(budget, answer, says="n", prompt="Q<think>\n").text == "</think>no"
