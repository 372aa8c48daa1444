import pytest
from concordance_sdk import Added, ForwardPass, mod, use
from concordance_sdk.builtin import (
    Avoid,
    InjectAfterTokens,
    Replace,
    StopAfterSentences,
    StopAt,
)
from concordance_sdk.constraints import ChoicesStrat, Regex
from concordance_sdk.holds import Holds
from concordance_sdk.request_context import current_request
from concordance_sdk.self_prompt import SelfPrompt
from concordance_sdk.testing import play


def asking(erase, *, constraint=None):
    @mod
    class Asks:
        def parts(self):
            answers = constraint or ChoicesStrat(["yes", "no"])
            return [SelfPrompt(prompt=" Sure? ", constraint=answers, erase=erase)]

    return Asks


def later(prompt_at, erase):
    """A mod that asks after `prompt_at` tokens."""

    @mod
    class Later:
        def __init__(self):
            self.prompt = SelfPrompt(
                prompt=" Sure? ", constraint=ChoicesStrat(["yes", "no"]), erase=erase
            )

        def forward_pass(self, event, actions, tokenizer):
            if event.step < prompt_at:
                return None
            return self.prompt.forward_pass(event, actions, tokenizer)

        def added(self, event, actions, tokenizer):
            return self.prompt.added(event, actions, tokenizer)

    return Later


def test_first_hold_is_that_of_the_lowest_step():
    holds = Holds()
    high, low = holds.add(8), holds.add(3, hides=True)
    assert (holds.first(), holds.first_hidden()) == (3, 3)
    holds.release(low)
    holds.release(low)
    assert (holds.first(), holds.first_hidden()) == (8, None)
    holds.release(high)
    assert not holds


def test_hidden_spans_are_cut_at_the_length_and_come_last_first():
    holds = Holds()
    holds.add(2, hides=True, end=4)
    holds.add(6, hides=True)
    holds.add(9, hides=True)
    holds.add(0)
    assert holds.hidden_spans(8) == [(6, 8), (2, 4)]


def test_erased_question_is_not_shown_if_the_budget_ends_inside_it_at_every_length():
    for max_tokens in range(1, 12):
        played = play(later(3, "all"), script="abcdefghijklmno", max_tokens=max_tokens)
        assert played.text == "abcdefghijklmno"[: min(max_tokens, 3)], max_tokens
        assert played.finish_reason == "length"


def test_partial_answer_stays_without_its_erased_question_if_the_budget_ends_inside_it():
    letters = asking("prompt", constraint=Regex("[a-z]{9}"))
    played = play(letters, script="_" * 7 + "abcdefghi", max_tokens=10)
    assert (played.text, played.finish_reason) == ("abc", "length")
    assert played.num_forced == 0


def test_question_that_is_not_erased_is_shown_if_the_budget_ends_inside_it():
    assert play(asking("none"), script="", max_tokens=4).text == " Sur"


def test_stream_holds_back_an_erased_question_but_not_the_text_before_it():
    held = []

    @mod(on=[Added, ForwardPass], max_backtrack=0)
    def watch(event, actions):
        held.append((event.step, current_request().holds.first()))

    def model(completion):
        text = bytes(completion).decode()
        return ord("n") if text.endswith("? ") else [*b"abcdef", 256][len(text)]

    play(watch, later(3, "all"), script=model, stream=True, max_tokens=20).expect_text("abcdef")
    assert [first for step, first in held if step < 3] == [None] * 6
    assert (10, 3) in held
    assert held[-1] == (6, None)


def test_output_of_another_mod_replaces_a_hidden_question():
    @mod(on=[Added])
    def override(event, actions, tokenizer):
        if event.step + len(event.added_tokens) >= 5:
            return actions.force_output(tokenizer.encode("something else"))

    assert play(later(3, "all"), override, script="abc").text == "something else"


def test_error_of_another_mod_inside_a_hidden_question_shows_no_question():
    @mod(on=[Added])
    def tools(event, actions):
        if event.step >= 3:
            return actions.tool_calls({"name": "f", "arguments": {}})

    played = play(later(3, "all"), tools, script="abc")
    assert (played.text, played.finish_reason) == ("abc", "tool_calls")


@pytest.mark.parametrize("stream", [False, True])
def test_request_that_an_earlier_mod_ends_as_the_question_is_added_shows_no_question(stream):
    @mod
    class Ends:
        def added(self, event, actions):
            if event.step == 3 and event.forced:
                return actions.tool_calls({"name": "f", "arguments": {}})

    played = play(Ends, later(3, "all"), script="abc", stream=stream)
    assert (played.text, played.finish_reason) == ("abc", "tool_calls")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("erase", "text"), [("all", "abcZ|"), ("prompt", "abcZyes|"), ("none", "abc SurZ Sure? yes|")]
)
def test_part_of_a_question_that_another_mod_overwrites_is_removed(erase, text, stream):
    @mod(max_backtrack=None)
    class Overwrites:
        def __init__(self):
            self.is_done = False

        def added(self, event, actions):
            if event.step >= 10 and not self.is_done:
                self.is_done = True
                return actions.backtrack(4, b"Z")

    says = "abcyy|<eos>"
    assert play(Overwrites, later(3, erase), says=says, stream=stream).text == text


@mod(name="asks_later")
def asks_later(run):
    yield run.generate(tokens=2)
    yield run.ask(" Sure? No. ", ChoicesStrat(["yes", "no"]))
    yield run.generate()


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("target", "parameters", "text"),
    [
        (StopAfterSentences, {"count": 1}, "abcdef"),
        (StopAt, {"phrases": ["?", "s"]}, "abcdef"),
        (Avoid, {"words": ["Sure"]}, "abcdef"),
        (Replace, {"find": "Sure", "replacement": "Certain"}, "abcdef"),
        (InjectAfterTokens, {"count": 4, "text": "-"}, "abcd-ef"),
    ],
)
def test_text_mods_do_not_search_the_hidden_question_of_another_mod(
    target, parameters, text, is_first
):
    mods = [use(target, **parameters), use(asks_later)]
    played = play(*(mods if is_first else mods[::-1]), says="abycdef", max_tokens=64)
    assert played.text == text


def test_number_to_release_can_be_lowered_beside_other_holds():
    holds = Holds()
    assert holds.lowered(5) == 5
    holds.lower_by(lambda num_tokens: num_tokens // 2)
    holds.clear()
    assert (holds.lowered(5), holds.lowered(-3)) == (2, -3)
    assert not holds
