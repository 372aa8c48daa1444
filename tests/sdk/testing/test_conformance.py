"""`check_conformance` finds mods that misbehave, with the scene; good ones pass."""

import itertools
import random

import pytest
from concordance_sdk import (
    Added,
    Finished,
    InvalidActionError,
    Prefilled,
    Sampled,
    builtin,
    get_conversation,
    mod,
    use,
)
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
    "Greeting": {},
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
    """The failed checks and their problems."""
    report = check_conformance(use(target, **parameters))
    return {check.name: check.problem for check in report.checks if check.problem}


@pytest.mark.slow
@pytest.mark.parametrize("name", builtin.__all__)
def test_builtin_mods_pass(name):
    assert problems(getattr(builtin, name), **GOOD[name]) == {}


@pytest.mark.parametrize("name", ["Replace", "Avoid", "StopAfterSentences"])
def test_builtin_mods_pass_on_a_real_vocabulary(name):
    target = use(getattr(builtin, name), **GOOD[name])
    report = check_conformance(target, tokenizer=tokenizer_of("byte_level"))

    assert report.is_passed, str(report)


def test_constraint_may_reject_tokens_that_another_mod_forces():
    assert problems(constrain(ChoicesStrat(["guilty", "not guilty"]), name="verdict")) == {}


def test_constraint_that_does_not_follow_a_backtrack_is_found():
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


def test_module_state_shared_by_requests_is_found():
    seen = []

    @mod(on=[Added])
    def shared(event, actions):
        seen.append(event)
        if len(seen) % 30 == 0:
            return actions.force_tokens(b"!")

    assert "the same request twice" in problems(shared)


def test_state_shared_by_interleaved_requests_is_found():
    @mod
    class Current:
        current = None

        def prefilled(self, event, actions):
            type(self).current = event.request_id

        def added(self, event, actions):
            if event.request_id != self.current:
                return actions.force_output(b"whose?")

    found = problems(Current)

    assert list(found) == ["interleaved requests are independent"]
    assert "interleaved with one that generates" in found["interleaved requests are independent"]


def test_randomness_is_found():
    @mod(on=[Added])
    def dice(event, actions):
        if event.step == 0:
            return actions.force_tokens([random.randrange(256), random.randrange(256)])

    assert "the same request twice" in problems(dice)


def test_backtrack_beyond_the_completion_after_another_mods_action_is_found():
    @mod(max_backtrack=None)
    class Hasty:
        def __init__(self):
            self.num_seen = 0

        def added(self, event, actions):
            self.num_seen += len(event.added_tokens)  # ignores `step`
            if self.num_seen == 12:
                return actions.backtrack(12, b"twelve")

    found = problems(Hasty)

    assert "backtracked 12 tokens" in found["other mods act at every step"]
    assert "listed before a mod that backtracks" in found["other mods act at every step"]


def test_backtrack_of_streamed_text_is_found():
    @mod(max_backtrack=2)
    class Late:
        def added(self, event, actions):
            if event.step == 9 and not event.forced:
                return actions.backtrack(5, b"late.")

    found = problems(Late)

    assert list(found) == ["a stream shows nothing that is backtracked"]
    assert "max_backtrack" in found["a stream shows nothing that is backtracked"]


def test_failure_at_the_end_of_a_request_is_found():
    @mod(on=[Finished])
    def bad_end(event, actions):
        assert event.finish_reason == "stop"

    assert "max_tokens=7" in problems(bad_end)["every event and every way to end"]


def test_failure_on_a_short_prompt_is_found():
    @mod(on=[Prefilled])
    def greedy(event, actions):
        return actions.adjust_prefill(event.context_info.tokens[1:])

    assert "empty prompt" in problems(greedy)["prompts of every length, also empty"]


def test_reports_that_differ_between_requests_are_found():
    numbers = itertools.count()

    @mod(on=[Finished])
    def counts_requests(event, actions):
        return actions.report(number=next(numbers))

    found = problems(counts_requests)

    assert list(found) == ["the same request twice", "interleaved requests are independent"]
    assert "'number'" in found["the same request twice"]


def test_reports_before_an_error_that_differ_are_found():
    numbers = itertools.count()

    @mod(on=[Added])
    def counts_requests(event, actions):
        return [actions.report(number=next(numbers)), actions.emit_error("no")]

    assert "'number'" in problems(counts_requests)["the same request twice"]


def test_deliberate_error_is_not_a_failure():
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
        self_prompt_mod(prompt="Mood: ", constraint=ChoicesStrat(["good", "bad"]), erase="all"),
    ],
    ids=["ends", "continues", "self-prompt"],
)
def test_constraint_that_holds_against_other_mods_is_not_a_failure(target):
    assert problems(target) == {}


def test_violation_of_ones_own_constraint_is_found():
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

    assert "does not allow" in problems(Breaks)["every event and every way to end"]


def test_missing_parameters_are_an_error():
    with pytest.raises(InvalidRequestError, match="find"):
        check_conformance(builtin.Replace)


def test_further_texts_can_be_given():
    generated = []

    @mod(on=[Added])
    def trap(event, actions, tokenizer):
        generated.append(tokenizer.decode(event.added_tokens))
        if "".join(generated[-4:]) == "trap":
            raise InvalidActionError("trapped")

    assert check_conformance(trap).is_passed
    assert not check_conformance(trap, texts=["a trap"]).is_passed


def test_report_has_a_line_per_check_followed_by_its_problem():
    counter = itertools.count()

    @mod(on=[Prefilled])
    def changing(event, actions):
        return actions.force_output(b"ab"[: next(counter) % 2])

    report = str(check_conformance(changing))

    assert "ok    a stream shows nothing that is backtracked (8 played)" in report
    assert "FAIL  the same request twice (1 played)\n      the same request twice" in report


def test_mod_that_reads_the_last_message_passes():
    @mod(on=[Prefilled])
    def shout(event, actions, tokenizer):
        return actions.force_output(tokenizer.encode(get_conversation()[-1].text.upper()))

    report = check_conformance(shout)

    assert report.is_passed, str(report)
    assert "it fails where there are no messages" in str(report)
    assert "IndexError" in report.notes[0]


def test_conversation_with_a_tools_result_is_played():
    @mod(on=[Prefilled])
    def picky(event, actions):
        assert get_conversation()[-1].role == "user"

    found = problems(picky)

    assert list(found) == ["conversations of one and of several turns"]
    assert "with a tool's result" in found["conversations of one and of several turns"]


def test_checks_that_compare_are_not_ok_where_the_mod_always_fails():
    @mod(on=[Added])
    def broken(event, actions):
        raise ValueError("no")

    report = check_conformance(broken)
    lines = str(report).splitlines()

    assert not report.is_passed
    assert str(report).count("raised ValueError at Added (step 0): no") == 1
    assert lines.count("      the same error") == 4
    assert not any(line.startswith("ok") for line in lines)
    assert "----  the same request twice (not checked: the mod fails in all 8 scenes)" in lines


def test_scenes_in_which_the_mod_fails_are_not_compared():
    @mod(on=[Added])
    def sometimes(event, actions):
        assert event.added_tokens != (b"I"[0],)

    line = str(check_conformance(sometimes).checks[5])

    assert line == "ok    the same request twice (6 played; not compared in 2 that fail)"


@pytest.mark.parametrize(("text", "is_noted"), [("Hello ", True), ("Hello", False)])
def test_forced_text_that_ends_in_a_space_is_noted(text, is_noted):
    report = check_conformance(use(builtin.InjectAtStart, text=text))

    assert report.is_passed
    assert ("note  forced text ends in a space: 'Hello '." in str(report)) == is_noted


class Passive:
    def added(self, event, actions): ...


class Declared(Passive):
    def __init__(self):
        self.max_backtrack = 4


class Acting:
    def forward_pass(self, event, actions):
        return actions.force_tokens(b"Hi") if event.step == 0 else None


class Ending:
    def finished(self, event, actions): ...


def watches(event, actions): ...


@pytest.mark.parametrize(
    ("target", "options", "is_noted"),
    [
        (Passive, {}, True),
        (Passive, {"max_backtrack": 0}, False),
        (Passive, {"max_backtrack": 32}, False),
        (Declared, {}, False),
        (Acting, {}, False),
        (Ending, {}, False),
        (watches, {"on": [Sampled]}, True),
    ],
)
def test_mod_that_never_acts_and_declares_no_max_backtrack_is_noted(target, options, is_noted):
    marked = type("Marked", (target,), {}) if isinstance(target, type) else target
    report = check_conformance(mod(**options)(marked))

    assert report.is_passed
    assert ("note  it declares no max_backtrack, so a stream" in str(report)) == is_noted


def test_script_that_only_waits_is_not_noted():
    @mod
    def waits(run):
        yield run.generate()

    assert check_conformance(waits).notes == ()
