"""Mods that misbehave are caught, and told in which scene; good ones pass."""

import itertools
import random

import pytest
from concordance_sdk import Added, Finished, InvalidActionError, Prefilled, builtin, mod, use
from concordance_sdk.constraints import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    Constrained,
    JsonSchema,
    constrain,
)
from concordance_sdk.self_prompt import self_prompt_mod
from concordance_sdk.testing import check_conformance
from concordance_shared import ConstraintError, InvalidRequestError
from real_tokenizers import tokenizer_of

GOOD = {
    "Avoid": {"words": ["one", "far"]},
    "InjectAfterReasoning": {"text": " Wait.", "where": "inside"},
    "InjectAfterSentences": {"text": " Hm."},
    "InjectAfterTokens": {"text": "!", "count": 3},
    "InjectAtStart": {"text": "Hi. "},
    "ReasoningBudget": {"max_tokens": 2},
    "Replace": {"find": "one", "replacement": "twenty"},
    "BiasWords": {"words": ["yes"], "strength": 4.0},
    "StopAfterSentences": {"count": 2},
    "StopAt": {"phrases": ["km", "```"]},
}


def problems(target, **parameters):
    """Which checks failed, and what they say."""
    report = check_conformance(use(target, **parameters))
    return {check.name: check.problem for check in report.checks if check.problem}


@pytest.mark.slow
@pytest.mark.parametrize("name", builtin.__all__)
def test_mods_that_are_ready_to_use_pass(name):
    assert problems(getattr(builtin, name), **GOOD[name]) == {}


@pytest.mark.parametrize("name", ["Replace", "Avoid", "StopAfterSentences"])
def test_they_pass_on_a_real_vocabulary_too(name):
    target = use(getattr(builtin, name), **GOOD[name])
    report = check_conformance(target, tokenizer=tokenizer_of("byte_level"))

    assert report.is_passed, str(report)


def test_a_constraint_may_refuse_what_another_mod_puts_into_its_answer():
    assert problems(constrain(ChoicesStrat(["guilty", "not guilty"]), name="verdict")) == {}


def test_a_constraint_that_cannot_be_taken_back_is_found():
    @mod
    class Stubborn:
        def __init__(self):
            self.length = 0

        def added(self, event, actions):
            if event.step < self.length:
                raise ConstraintError("that was there already")
            self.length = event.step + len(event.added_tokens)

    found = problems(Stubborn)

    assert list(found) == ["other mods act at every step"]
    assert "forces 0" in found["other mods act at every step"]


def test_state_of_the_module_that_requests_share_is_found():
    seen = []

    @mod(on=[Added])
    def shared(event, actions):
        seen.append(event)
        if len(seen) % 30 == 0:
            return actions.force_tokens(b"!")

    assert "the same request twice" in problems(shared)


def test_state_that_only_meets_in_turns_is_found():
    @mod
    class Current:
        current = None

        def prefilled(self, event, actions):
            type(self).current = event.request_id

        def added(self, event, actions):
            if event.request_id != self.current:
                return actions.force_output(b"whose?")

    found = problems(Current)

    assert list(found) == ["requests in turns do not meet"]
    assert "in turns with a request that says" in found["requests in turns do not meet"]


def test_chance_is_found():
    @mod(on=[Added])
    def dice(event, actions):
        if event.step == 0:
            return actions.force_tokens([random.randrange(256), random.randrange(256)])

    assert "the same request twice" in problems(dice)


def test_taking_back_more_than_is_there_when_another_mod_acted_is_found():
    @mod(max_backtrack=None)
    class Hasty:
        def __init__(self):
            self.num_seen = 0

        def added(self, event, actions):
            self.num_seen += len(event.added_tokens)  # never looks at `step`
            if self.num_seen == 12:
                return actions.backtrack(12, b"twelve")

    found = problems(Hasty)

    assert "backtracked 12 tokens" in found["other mods act at every step"]
    assert "behind it a mod that takes back" in found["other mods act at every step"]


def test_taking_back_what_a_stream_has_shown_is_found():
    @mod(max_backtrack=2)
    class Late:
        def added(self, event, actions):
            if event.step == 9 and not event.forced:
                return actions.backtrack(5, b"late.")

    found = problems(Late)

    assert list(found) == ["a stream shows nothing that is taken back"]
    assert "max_backtrack" in found["a stream shows nothing that is taken back"]


def test_failing_at_an_end_is_found():
    @mod(on=[Finished])
    def bad_end(event, actions):
        assert event.finish_reason == "stop"

    assert "max_tokens=7" in problems(bad_end)["every event and every end"]


def test_failing_on_a_short_prompt_is_found():
    @mod(on=[Prefilled])
    def greedy(event, actions):
        return actions.adjust_prefill(event.context_info.tokens[1:])

    assert "empty prompt" in problems(greedy)["every length of prompt, the empty one too"]


def test_an_error_on_purpose_is_no_failure():
    @mod(on=[Added])
    def guard(event, actions):
        if event.step == 3:
            return actions.emit_error("not allowed here")

    assert problems(guard) == {}


@pytest.mark.parametrize(
    "target",
    [
        constrain(JsonSchema({"enum": ["yes", "no"]})),
        constrain(CharsStrat(CharsMode.NUMERIC, min=1, stop=3), ends=False),
        self_prompt_mod(prompt="Mood: ", strategy=ChoicesStrat(["good", "bad"]), erase="all"),
    ],
    ids=["ends", "goes on", "self-prompt"],
)
def test_a_constraint_that_holds_against_other_mods_is_no_failure(target):
    assert problems(target) == {}


def test_breaking_ones_own_constraint_is_found():
    @mod
    class Breaks:
        def __init__(self):
            self.answer = Constrained(ChoicesStrat(["yes", "no"]))

        def forward_pass(self, event, actions, tokenizer):
            return self.answer.forward_pass(event, actions, tokenizer)

        def added(self, event, actions, tokenizer):
            if event.step == 0 and not event.forced:
                return actions.backtrack(1, b"perhaps")
            return self.answer.added(event, actions, tokenizer)

    assert "does not allow" in problems(Breaks)["every event and every end"]


def test_parameters_that_are_needed_are_asked_for():
    with pytest.raises(InvalidRequestError, match="find"):
        check_conformance(builtin.Replace)


def test_what_the_mod_acts_upon_can_be_said():
    said = []

    @mod(on=[Added])
    def trap(event, actions, tokenizer):
        said.append(tokenizer.decode(event.added_tokens))
        if "".join(said[-4:]) == "trap":
            raise InvalidActionError("trapped")

    assert check_conformance(trap).is_passed
    assert not check_conformance(trap, texts=["a trap"]).is_passed


def test_the_report_is_a_line_for_each_check_with_what_was_wrong_below():
    counter = itertools.count()

    @mod(on=[Prefilled])
    def changing(event, actions):
        return actions.force_output(b"ab"[: next(counter) % 2])

    told = str(check_conformance(changing))

    assert "ok    a stream shows nothing that is taken back (8 played)" in told
    assert "FAIL  the same request twice (1 played)\n      the same request twice" in told
