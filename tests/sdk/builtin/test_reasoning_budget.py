"""A model may reason for so long, and no longer."""

import pytest
from concordance_sdk import ModRaisedError, use
from concordance_sdk.builtin import ReasoningBudget
from concordance_sdk.constraints import ChoicesStrat, constrain
from concordance_sdk.testing import MessageTokenizer, message_channels, play, tag_channels


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
        play(use(ReasoningBudget, max_tokens=1, close_tag="</think>", closing="stop"), says="")


def test_closing_text_without_tags_is_followed_by_the_end_of_the_reasoning():
    budget = use(ReasoningBudget, max_tokens=1, closing=" Enough.")

    assert play(budget, says="<think>ab").text == "<think>a Enough.</think>b"
    assert played_messages(budget, says=f"{ANALYSIS}ab") == f"{ANALYSIS}a Enough.{FINAL}b"
    assert play(budget, says="<think>ab", channels=tag_channels()).text == (
        "<think>a Enough.</think>b"
    )


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


ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"
CALL = "<|start|>assistant<|channel|>commentary to=functions.look<|message|>"
TOOLS = {"tools": [{"type": "function", "function": {"name": "look"}}]}


def played_messages(*mods, **options):
    played = play(*mods, channels=message_channels(), **options)
    text = MessageTokenizer().decode(played.token_ids)
    return text.removesuffix("<|return|>")


def test_reasoning_of_messages_ends_with_the_header_of_final():
    budget = use(ReasoningBudget, max_tokens=5)

    assert played_messages(budget, says=f"{ANALYSIS}aaaaaso") == f"{ANALYSIS}aaaaa{FINAL}so"


def test_reasoning_of_tags_that_the_chat_format_knows_is_closed_by_them():
    budget = use(ReasoningBudget, max_tokens=2)
    channels = tag_channels("[T]", "[/T]")

    assert play(budget, says="[T]aab", channels=channels).text == "[T]aa[/T]b"
    opened = tag_channels("[T]", "[/T]", opened=True)
    assert play(budget, says="aab", channels=opened).text == "aa[/T]b"


def test_partial_closing_tag_is_completed_with_channels():
    budget = use(ReasoningBudget, max_tokens=6)

    played = play(budget, says="<think>aa</thso", channels=tag_channels())

    assert played.text == "<think>aa</think>so"


def test_messages_of_reasoning_count_together():
    says = f"{ANALYSIS}aaa<|end|><|start|>assistant{ANALYSIS}bbcc"
    expected = f"{ANALYSIS}aaa<|end|><|start|>assistant{ANALYSIS}bb{FINAL}cc"

    assert played_messages(use(ReasoningBudget, max_tokens=5), says=says) == expected


def test_budget_ends_no_character_in_the_middle():
    says = MessageTokenizer().encode(f"{ANALYSIS}日本so")

    assert played_messages(use(ReasoningBudget, max_tokens=4), says=says) == (
        f"{ANALYSIS}日本{FINAL}so"
    )


def test_zero_budget_opens_final_at_the_first_token():
    final = "<|channel|>final<|message|>"

    assert played_messages(use(ReasoningBudget, max_tokens=0), says="so") == f"{final}so"


def test_arguments_of_a_call_are_not_reasoning():
    says = f"{ANALYSIS}a<|end|>{CALL}{{}}<|call|>"

    assert played_messages(use(ReasoningBudget, max_tokens=1), says=says, schemas=TOOLS).endswith(
        f"{CALL}{{}}<|call|>"
    )


def test_call_on_the_channel_of_reasoning_is_not_cut():
    says = "<|channel|>analysis to=python<|message|>1 + 1<|call|>"

    assert played_messages(use(ReasoningBudget, max_tokens=1), says=says) == says


def test_model_with_tools_chooses_between_final_and_a_call_when_the_budget_is_spent():
    budget = use(ReasoningBudget, max_tokens=2)
    rest = "commentary to=functions.look<|message|>{}<|call|>"

    played = played_messages(budget, says=f"{ANALYSIS}aa{rest}", schemas=TOOLS)

    assert played == f"{ANALYSIS}aa<|end|>{CALL}{{}}<|call|>"


def test_zero_budget_with_tools_lets_the_model_call_and_not_reason():
    budget = use(ReasoningBudget, max_tokens=0)
    rest = "commentary to=functions.look<|message|>{}<|call|>"

    called = played_messages(budget, says=rest, schemas=TOOLS)
    reasoned = played_messages(budget, says="analysis<|message|>a", schemas=TOOLS, max_tokens=2)

    assert called == f"<|channel|>{rest}"
    assert not reasoned.startswith("<|channel|>a")


def test_model_that_reasons_after_its_budget_is_sent_to_final_at_once():
    budget = use(ReasoningBudget, max_tokens=0)
    preamble = "commentary<|message|>x<|end|><|start|>assistant"

    played = played_messages(budget, says=f"{preamble}{ANALYSIS}b", schemas=TOOLS)

    assert played == f"<|channel|>{preamble}{ANALYSIS}{FINAL}b"
