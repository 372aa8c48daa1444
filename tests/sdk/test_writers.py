"""Mutual exclusion of constraints, self-prompts and flows in one request."""

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
def test_later_writer_waits_for_earlier_writer(names, stream):
    mods, texts = zip(*map(WRITERS.get, names), strict=True)

    assert play(*mods, says="yy!", stream=stream).text == "".join(texts) + "!"


def test_three_writers_write_in_list_order():
    assert play(asks("A?"), flow("B?"), asks("C?"), says="yny!").text == "A?yesB?no.C?yes!"


def test_constraint_after_self_prompt_ends_the_completion():
    assert play(asks("A?"), constrain(YES_OR_NO), says="yn").text == "A?yesno"


def test_no_writer_follows_one_that_ends_the_completion():
    assert play(constrain(YES_OR_NO), asks("A?"), says="y").text == "yes"


@pytest.mark.parametrize(("n", "text"), [(1, "yesB?no"), (4, "yesB?no"), (5, "noB?no")])
def test_backtracked_answer_is_written_again_before_the_next_writer(n, text):
    first, undo = constrain(YES_OR_NO, ends=False), taking_back_once(n, at=5)

    assert play(undo, first, asks("B?"), says="yn" if n < 5 else "ynn").text == text


def test_writer_that_waits_again_forces_its_prompt_again():
    first, undo = constrain(YES_OR_NO, ends=False), taking_back_once(10, at=10)
    second = asks("B?", ChoicesStrat(["only a", "only b"]))

    assert play(undo, first, second, says="ynb").text == "noB?only b"


def test_two_constraints_on_the_same_text_both_hold():
    letters, few = constrain(Regex("[a-z]{3}")), constrain(Regex("[bxy]+"), name="few", ends=False)

    for mods in ((letters, few), (few, letters)):
        text = play(*mods, says="zzbzzaxz").text
        assert len(text) == 3
        assert set(text) <= {*"bxy"}


def test_constraint_holds_although_another_ends_the_completion():
    verdict = constrain(ChoicesStrat(["no", "maybe"]), name="verdict")

    assert play(constrain(YES_OR_NO), verdict, says="y").text == "no"


def test_constraint_waits_if_its_phrase_is_inside_another_span():
    verdict = constrain(Regex("[0-9]"), after="A?")

    assert play(asks("A?"), verdict, says="y7").text == "A?yes7"
    assert play(verdict, asks("A?"), says="y7").text == "A?yes7"


def test_constraint_waits_for_a_backtracked_phrase_again():
    undo, verdict = taking_back_once(5, at=5), constrain(Regex("[0-9]"), after="yes")

    assert play(undo, asks("A?"), verdict, says="yo yes7").text == "o yes7"


def test_logit_adjustments_compose_with_writers():
    nudge, avoid = use(BiasWords, words=["no"], strength=9.0), use(Avoid, words=["yes"])

    assert play(nudge, constrain(YES_OR_NO), says="y").text == "no"
    assert play(asks("A?"), avoid, nudge, says="y", max_tokens=4).text == "A?no"


def test_self_prompts_of_one_mod_are_asked_in_order():
    first, second = asks("A?"), asks("B?")

    @mod
    class Both:
        def mods(self):
            return [first, second]

    assert play(Both, says="yn").text == "A?yesB?no"


@pytest.mark.parametrize("max_tokens", [1, 3, 8, 64])
def test_request_context_is_freed_when_the_request_ends(max_tokens):
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


def test_waiting_writer_continues_after_another_is_restarted():
    question = SelfPrompt(prompt="A?", constraint=YES_OR_NO)

    @mod
    def asking(event, actions, tokenizer):
        if isinstance(event, Added) and event.added_tokens == (*b"A?",) and event.step == 0:
            question.refresh_responses(["up", "down"], event.request_id)
        return question.handle_event(event, actions, tokenizer)

    assert play(asking, asks("B?"), says="uy").text == "A?A?upB?yes"
