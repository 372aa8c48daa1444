"""Texts that are forced into a completion, once."""

import pytest
from concordance_sdk import Added, FinishReason, ForwardPass, mod, use
from concordance_sdk.builtin import (
    Greeting,
    InjectAfterReasoning,
    InjectAfterSentences,
    InjectAfterTokens,
    InjectAtStart,
)
from concordance_sdk.constraints import ChoicesStrat, constrain
from concordance_sdk.flow import FlowEngine, FlowQuestion
from concordance_sdk.self_prompt import self_prompt_mod
from concordance_sdk.testing import play
from real_tokenizers import KINDS, tokenizer_of

# At the start


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
def test_inject_at_start_begins_the_completion(kind, stream):
    tokenizer = tokenizer_of(kind)
    played = play(use(InjectAtStart, text="Hi, "), says="you", tokenizer=tokenizer, stream=stream)

    assert played.text.replace("  ", " ") == "Hi, you"
    assert played.num_forced == len(tokenizer.encode("Hi, "))


def test_inject_at_start_costs_one_forward_pass():
    plain = play(says="you").passes

    play(use(InjectAtStart, text="Greetings! "), says="you").expect_passes(plain + 1)


def test_two_start_texts_follow_each_other_in_order():
    first, second = use(InjectAtStart, text="a"), use(InjectAtStart, text="b")

    assert play(first, second, says="c").text == "abc"


def test_empty_start_text_changes_nothing():
    assert play(use(InjectAtStart, text=""), says="you").text == "you"


# After tokens


@pytest.mark.parametrize(("count", "text"), [(0, "a!bc"), (1, "a!bc"), (3, "abc!"), (9, "abc")])
def test_inject_after_tokens_counts_tokens(count, text):
    played = play(use(InjectAfterTokens, text="!", count=count), says="abc", max_tokens=8)

    assert played.text == text


def test_inject_after_tokens_waits_for_the_rest_of_a_character():
    assert play(use(InjectAfterTokens, text="!", count=2), says="a€b").text == "a€!b"


def test_inject_after_tokens_follows_all_tokens_added_together():
    start = use(InjectAtStart, text="12345")

    assert play(start, use(InjectAfterTokens, text="!", count=2), says="abc").text == "12345!abc"


def test_inject_after_tokens_keeps_the_budget():
    played = play(use(InjectAfterTokens, text="!", count=3), says="abcdef", max_tokens=3)

    assert (played.text, played.finish_reason) == ("abc", FinishReason.LENGTH)


# After sentences


@pytest.mark.parametrize("kind", KINDS)
def test_inject_after_sentences_follows_the_sentence(kind):
    tokenizer = tokenizer_of(kind)
    played = play(
        use(InjectAfterSentences, text=" (Really.)", count=2),
        says="It is 3.5 km. Not far! Go on.",
        tokenizer=tokenizer,
    )

    assert played.text.startswith("It is 3.5 km. Not far! (Really.)")
    assert 0 < played.num_backtracked <= 2


def test_inject_after_sentences_follows_the_last_sentence():
    assert play(use(InjectAfterSentences, text=" Bye."), says="Done.").text == "Done. Bye."


# After reasoning


def test_inject_after_reasoning_follows_the_closing_tag():
    inject = use(InjectAfterReasoning, text=" So: ")

    assert play(inject, says="<think>a</think>b").text == "<think>a</think> So: b"


def test_inject_inside_reasoning_backtracks_over_the_tag_once():
    inject = use(InjectAfterReasoning, text=" Wait,", where="inside")
    played = play(inject, says="<think>4</think> 5</think>5")

    assert played.text == "<think>4 Wait, 5</think>5"
    assert played.num_backtracked == len("</think>")


def test_inject_after_reasoning_that_the_prompt_opened():
    inject = use(InjectAfterReasoning, text="!")

    assert play(inject, says="a</think>b", prompt="Q<think>").text == "a</think>!b"


def test_inject_after_reasoning_without_reasoning_changes_nothing():
    assert play(use(InjectAfterReasoning, text="!"), says="abc").text == "abc"


# With others


def test_forced_tokens_of_another_mod_count_for_the_position():
    @mod(name="other", on=[Added])
    def other(event, actions):
        if event.step == 2 and not event.forced:
            return actions.force_tokens(b"--")

    assert play(other, use(InjectAfterTokens, text="!", count=3), says="abcd").text == "abc--!d"


YES_OR_NO = ChoicesStrat(["yes", "no"])
START = use(InjectAtStart, text="A: ")


@pytest.fixture(params=["constraint", "self-prompt", "flow"])
def writer(request):
    """What writes a part of its own, and what that is when the model says `n`."""
    engine = FlowEngine(entry_question=FlowQuestion("q", "Q? ", YES_OR_NO, suffix="."))

    @mod(name="flow")
    def flow(event, actions, tokenizer):
        return engine.handle_event(event, actions, tokenizer)

    return {
        "constraint": (constrain(YES_OR_NO, ends=False), "no"),
        "self-prompt": (self_prompt_mod(prompt="Q? ", constraint=YES_OR_NO), "Q? no"),
        "flow": (flow, "Q? no."),
    }[request.param]


@pytest.mark.parametrize("stream", [False, True])
def test_start_text_listed_first_precedes_other_writers(writer, stream):
    target, text = writer

    assert play(START, target, says="n!", stream=stream).text == f"A: {text}!"


@pytest.mark.parametrize("stream", [False, True])
def test_start_text_listed_later_follows_other_writers(writer, stream):
    target, text = writer

    assert play(target, START, says="n!", stream=stream).text == f"{text}A: !"


def test_start_text_after_a_constraint_that_ends_the_completion_is_dropped():
    assert play(constrain(YES_OR_NO), START, says="n").text == "no"


def test_start_texts_of_later_mods_follow():
    @mod(on=[ForwardPass])
    def greet(event, actions):
        return actions.force_tokens(b"HI ") if event.step == 0 else None

    assert play(START, greet, says="you").text == "A: you"
    assert play(greet, START, says="you").text == "HI A: you"


def test_greeting_is_forced_in_place_of_the_first_sampled_token():
    played = play(use(Greeting, text="Hi, "), script="xxxxxyou")

    assert played.text == "Hi, xyou"
    assert played.num_forced == 4


def test_greeting_needs_no_parameter():
    assert play(use(Greeting), says=" there").text == "Ahoy! there"
