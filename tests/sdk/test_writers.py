"""Mods that write a part of the completion each, one after the other."""

import gc
import weakref
from contextlib import suppress
from itertools import permutations

import pytest
from concordance_sdk import Added, ForwardPass, Prefilled, mod, use
from concordance_sdk.builtin import Avoid, BiasWords
from concordance_sdk.constraints import ChoicesStrat, Regex, constrain
from concordance_sdk.flow import FlowEngine, FlowQuestion
from concordance_sdk.request_context import current_request
from concordance_sdk.self_prompt import SelfPrompt, self_prompt_mod
from concordance_sdk.testing import play
from concordance_shared import ModError

YES_OR_NO = ChoicesStrat(["yes", "no"])


def asks(prompt, constraint=YES_OR_NO, **options):
    return self_prompt_mod(
        prompt=prompt, constraint=constraint, name=f"asks_{prompt[0].lower()}", **options
    )


def flow(prompt):
    engine = FlowEngine(entry_question=FlowQuestion("q", prompt, YES_OR_NO, suffix="."))

    @mod(name="flow")
    def handler(event, actions, tokenizer):
        return engine.handle_event(event, actions, tokenizer)

    return handler


def taking_back_once(n, *, at):
    """A mod that takes back `n` tokens when a step is to be decided, once."""

    @mod(max_backtrack=None)
    class TakeBack:
        def __init__(self):
            self.is_done = False

        def forward_pass(self, event, actions):
            if event.step == at and not self.is_done:
                self.is_done = True
                return actions.backtrack(n)

    return TakeBack


#: What writes, and what it makes of `y` or `n`.
WRITERS = {
    "self-prompt": (asks("A?"), "A?yes"),
    "erasing": (asks("B?", erase="prompt"), "yes"),
    "flow": (flow("C?"), "C?yes."),
    "constraint": (constrain(YES_OR_NO, ends=False), "yes"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("names", list(permutations(WRITERS, 2)), ids="+".join)
def test_of_two_that_write_the_later_waits_for_the_earlier(names, stream):
    mods, texts = zip(*map(WRITERS.get, names), strict=True)

    assert play(*mods, says="yy!", stream=stream).text == "".join(texts) + "!"


def test_three_write_in_the_order_of_the_list():
    assert play(asks("A?"), flow("B?"), asks("C?"), says="yny!").text == "A?yesB?no.C?yes!"


def test_a_constraint_behind_a_self_prompt_ends_the_completion():
    assert play(asks("A?"), constrain(YES_OR_NO), says="yn").text == "A?yesno"


def test_behind_what_ends_the_completion_nobody_has_a_turn():
    assert play(constrain(YES_OR_NO), asks("A?"), says="y").text == "yes"


@pytest.mark.parametrize(("n", "text"), [(1, "yesB?no"), (4, "yesB?no"), (5, "noB?no")])
def test_an_answer_that_is_taken_back_is_given_again_before_the_next_has_its_turn(n, text):
    first, undo = constrain(YES_OR_NO, ends=False), taking_back_once(n, at=5)

    assert play(undo, first, asks("B?"), says="yn" if n < 5 else "ynn").text == text


def test_what_waits_again_puts_its_prompt_before_its_answer():
    first, undo = constrain(YES_OR_NO, ends=False), taking_back_once(10, at=10)
    second = asks("B?", ChoicesStrat(["only a", "only b"]))

    assert play(undo, first, second, says="ynb").text == "noB?only b"


def test_of_two_constraints_on_the_same_text_both_hold():
    letters, few = constrain(Regex("[a-z]{3}")), constrain(Regex("[bxy]+"), name="few", ends=False)

    for mods in ((letters, few), (few, letters)):
        text = play(*mods, says="zzbzzaxz").text
        assert len(text) == 3
        assert set(text) <= {*"bxy"}


def test_no_constraint_is_passed_over_since_another_ends_the_completion():
    verdict = constrain(ChoicesStrat(["no", "maybe"]), name="verdict")

    assert play(constrain(YES_OR_NO), verdict, says="y").text == "no"


def test_a_constraint_waits_where_its_phrase_stands_in_the_part_of_another():
    verdict = constrain(Regex("[0-9]"), after="A?")

    assert play(asks("A?"), verdict, says="y7").text == "A?yes7"
    assert play(verdict, asks("A?"), says="y7").text == "A?yes7"


def test_a_phrase_that_is_taken_back_while_the_constraint_waits_is_waited_for_again():
    undo, verdict = taking_back_once(5, at=5), constrain(Regex("[0-9]"), after="yes")

    assert play(undo, asks("A?"), verdict, says="yo yes7").text == "o yes7"


def test_mods_that_only_adjust_compose_with_what_writes():
    nudge, avoid = use(BiasWords, words=["no"], strength=9.0), use(Avoid, words=["yes"])

    assert play(nudge, constrain(YES_OR_NO), says="y").text == "no"
    assert play(asks("A?"), avoid, nudge, says="y", max_tokens=4).text == "A?no"


def test_a_mod_asks_its_own_self_prompts_one_after_the_other():
    first, second = asks("A?"), asks("B?")

    @mod
    class Both:
        def mods(self):
            return [first, second]

    assert play(Both, says="yn").text == "A?yesB?no"


@pytest.mark.parametrize("max_tokens", [1, 3, 8, 64])
def test_nothing_is_left_of_a_request_that_ended(max_tokens):
    requests = []

    @mod(on=[Prefilled, ForwardPass])
    def failing(event, actions):
        requests.append(weakref.ref(current_request()))
        return actions.emit_error("no") if event.step == 6 else None

    with suppress(ModError):
        play(asks("A?"), flow("B?"), constrain(YES_OR_NO), failing, says="", max_tokens=max_tokens)
    gc.collect()

    assert requests
    assert all(request() is None for request in requests)


def test_who_waits_goes_on_when_a_question_is_asked_anew():
    question = SelfPrompt(prompt="A?", constraint=YES_OR_NO)

    @mod
    def asking(event, actions, tokenizer):
        if isinstance(event, Added) and event.added_tokens == (*b"A?",) and event.step == 0:
            question.refresh_responses(["up", "down"], event.request_id)
        return question.handle_event(event, actions, tokenizer)

    assert play(asking, asks("B?"), says="uy").text == "A?A?upB?yes"
