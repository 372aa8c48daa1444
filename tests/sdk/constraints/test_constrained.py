"""What a request writes is kept to a constraint, whatever other mods do."""

import random

import pytest
from concordance_sdk import (
    Actions,
    Added,
    FinishReason,
    ForwardPass,
    ModDefinitionError,
    ModRaisedError,
    Sampled,
    mod,
)
from concordance_sdk.constraints import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    Constrained,
    JsonSchema,
    Regex,
    allows,
    constrain,
)
from concordance_sdk.testing import ByteTokenizer, ScriptedLogits, play
from concordance_shared import ConcordanceError, ConstraintError
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import smollm

EOS = 256
PERSON = JsonSchema(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z]{1,8}$"},
            "is_member": {"type": "boolean"},
        },
        "required": ["name", "is_member"],
        "additionalProperties": False,
    }
)


def at_random(seed):
    """A model that wants any token at all."""
    dice = random.Random(seed)
    return lambda completion: dice.randrange(257)


def test_constrain_makes_a_mod():
    person = constrain(PERSON, name="person")
    played = play(person, script="xxxxxxxxxxada")

    assert PERSON.value(played.text) == {"name": "ada", "is_member": False}
    assert played.finish_reason is FinishReason.STOP


def test_forced_tokens_take_no_forward_pass_of_their_own():
    played = play(constrain(PERSON), script="xxxxxxxxxxada")

    assert played.text == '{"name": "ada", "is_member": false}'
    #  the prompt; the first key; a; d; a; the quote and the second key. The model chose six tokens.
    assert played.passes == 6
    assert len(played.token_ids) == len(played.text) + 1


@pytest.mark.parametrize("seed", range(6))
def test_any_model_writes_an_allowed_text(seed):
    played = play(constrain(PERSON), script=at_random(seed))

    assert allows(PERSON, played.text)


def test_eos_ends_a_span_that_could_continue():
    answer = constrain(ChoicesStrat(["yes", "yes, please"]))

    assert play(answer, script=[*b"yes", EOS]).text == "yes"


def test_span_ends_where_nothing_can_follow():
    played = play(constrain(ChoicesStrat(["yes", "no"])), script="no, and more")

    assert played.token_ids == (*b"no", EOS)


def test_free_text_follows_a_span_with_ends_false():
    answer = constrain(ChoicesStrat(["yes", "no"]), ends=False)

    assert play(answer, script="no, not at all").text == "no, not at all"


def test_eos_inside_a_span_with_ends_false_does_not_end_the_completion():
    answer = constrain(ChoicesStrat(["yes", "yes, please"]), ends=False)
    wants = [ord("y"), EOS, *b"!!"]
    script = lambda completion: wants.pop(0) if wants else EOS  # noqa: E731
    played = play(answer, script=script)

    assert played.text == "yes!!"


def test_max_tokens_ends_a_span():
    played = play(constrain(PERSON), script="xxxxxxxxxxada", max_tokens=10)

    assert (played.text, played.finish_reason) == ('{"name": "', FinishReason.LENGTH)


@pytest.mark.parametrize("stream", [False, True])
def test_span_begins_after_a_phrase(stream):
    answer = constrain(ChoicesStrat(["yes", "no"]), after="answer: ")
    played = play(answer, script="My answer: nothing", stream=stream)

    assert played.text == "My answer: no"


def test_span_never_begins_without_its_phrase():
    answer = constrain(ChoicesStrat(["yes", "no"]), after="answer: ")

    assert play(answer, script="I do not know").text == "I do not know"


@pytest.mark.parametrize("stream", [False, True])
def test_token_in_which_the_phrase_ends_is_split(stream):
    tokenizer = smollm()
    script = tokenizer.encode("So: the. Then") + tokenizer.encode("the and more")
    assert tokenizer.encode("So: the")[-1] == tokenizer.encode(" the")[0]  # ` t` inside a token
    answer = constrain(Regex("[xyz]{3}"), after="So: t")
    played = play(answer, script=script, tokenizer=tokenizer, stream=stream)

    assert played.text.startswith("So: t")
    assert allows(Regex("[xyz]{3}"), played.text.removeprefix("So: t"))


def test_span_begins_after_a_special_token():
    tokenizer = smollm()
    (mark,) = tokenizer.encode("<|im_start|>")
    answer = constrain(ChoicesStrat(["yes", "no"]), after="<|im_start|>")
    script = [*tokenizer.encode("hm"), mark, *tokenizer.encode("no")]

    assert play(answer, script=script, tokenizer=tokenizer).text == "hmno"


def test_forced_tokens_after_the_phrase_are_part_of_the_span():
    @mod(on=[ForwardPass])
    def say(event, actions):
        return actions.force_tokens(b"Answer: n") if event.step == 0 else None

    assert play(say, constrain(ChoicesStrat(["yes", "no"]), after=": "), script="").text == (
        "Answer: no"
    )


# Other mods


def test_greeting_of_an_earlier_mod_precedes_the_span():
    @mod(on=[ForwardPass])
    def greet(event, actions):
        return actions.force_tokens(b"Hi! ") if event.step == 0 else None

    assert play(greet, constrain(ChoicesStrat(["yes", "no"])), script="xxxxno").text == "Hi! no"


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_span_stays_allowed_whatever_another_mod_backtracks(seed):
    """Also over forced tokens, and before the answer's first."""
    dice = random.Random(seed)

    @mod(on=[ForwardPass, Sampled, Added], max_backtrack=None)
    def neighbour(event, actions):
        length = event.step + (len(event.added_tokens) if isinstance(event, Added) else 0)
        if length and dice.random() < 0.15:
            return actions.backtrack(dice.randint(1, min(length, 9)))

    for mods in ((neighbour, constrain(PERSON)), (constrain(PERSON), neighbour)):
        played = play(*mods, script=at_random(seed), max_tokens=150)

        assert allows(PERSON, played.text)


def test_backtracked_and_replaced_tokens_are_followed():
    @mod(on=[Added])
    def no_becomes_yes(event, actions):
        if event.added_tokens == tuple(b"n"):
            return actions.backtrack(1, b"y")

    answer = constrain(ChoicesStrat(["yes", "no"]))

    assert play(no_becomes_yes, answer, script="no").text == "yes"


def test_span_that_is_backtracked_completely_begins_again_after_the_phrase():
    taken = []

    @mod(on=[Added], max_backtrack=None)
    def once(event, actions):
        end = event.step + len(event.added_tokens)
        if not taken and event.added_tokens[-1] == ord("n"):
            taken.append(end)
            return actions.backtrack(end)

    answer = constrain(ChoicesStrat(["yes", "no"]), after="> ")
    wants = [*b"> n", *b"A: > y"]
    played = play(once, answer, script=lambda completion: wants.pop(0) if wants else EOS)

    assert played.text == "A: > yes"


def test_forced_tokens_that_violate_the_constraint_are_an_error_of_that_mod():
    @mod(name="rude", on=[Sampled])
    def rude(event, actions):
        return actions.force_tokens(b"maybe") if event.step == 0 else None

    with pytest.raises(ModRaisedError, match=r"'answer'.*does not allow 'maybe' after ''"):
        play(rude, constrain(ChoicesStrat(["yes", "no"]), name="answer"), script="n")


@pytest.mark.parametrize("comes_first", [True, False])
def test_another_mod_may_force_allowed_tokens(comes_first):
    @mod(on=[Added])
    def hasty(event, actions):
        return actions.force_tokens(b"e") if event.added_tokens == tuple(b"y") else None

    answer = constrain(ChoicesStrat(["yes", "no"]), name="answer")
    mods = [hasty, answer] if comes_first else [answer, hasty]

    assert play(*mods, script="y").text == "yes"


def test_missed_added_event_is_an_error_that_names_the_fix():
    @mod
    class Deaf:
        def __init__(self):
            self.answer = Constrained(ChoicesStrat(["yes", "no"]))

        def forward_pass(self, event, actions, tokenizer):
            return self.answer.forward_pass(event, actions, tokenizer)

    with pytest.raises(ModRaisedError, match="forward every Added event"):
        play(Deaf, script="yes")


def test_eos_that_another_mod_forces_too_early_is_rejected():
    @mod(on=[Sampled])
    def enough(event, actions):
        return actions.force_tokens([EOS]) if event.step else None

    with pytest.raises(ModRaisedError, match="does not allow"):
        play(enough, constrain(CharsStrat(CharsMode.NUMERIC, min=3, stop=3)), script="123")


# Inside another mod


def test_class_mod_uses_the_answer_of_its_part():
    @mod
    class Judge:
        def __init__(self):
            self.verdict = Constrained(
                CharsStrat(CharsMode.JS_FLOAT, stop="\n"), after="Score: ", ends=False
            )

        def forward_pass(self, event, actions, tokenizer):
            return self.verdict.forward_pass(event, actions, tokenizer)

        def added(self, event, actions, tokenizer):
            assert (self.verdict.answer is None) == (not self.verdict.is_complete)
            action = self.verdict.added(event, actions, tokenizer)
            if self.verdict.is_complete and self.verdict.value > 5:
                return actions.force_output(tokenizer.encode(f"good: {self.verdict.answer}"))
            return action

    assert play(Judge, script="Score: 7.5\nbecause").text == "good: 7.5"
    assert play(Judge, script="Score: 2\nbecause").text == "Score: 2\nbecause"


def test_argmax_sampling_takes_the_top_token():
    constrained = Constrained(ChoicesStrat(["yes", "no"]), argmax_sampling=True)
    event = ForwardPass(request_id="r", step=0, logits=ScriptedLogits([0.0] * 257))
    action = constrained.forward_pass(event, Actions(ByteTokenizer()), ByteTokenizer())

    assert action.token_temp == 0.0


def test_requests_do_not_share_a_span():
    answer = constrain(ChoicesStrat(["yes", "no"]))

    assert [play(answer, script=script).text for script in ("y", "n", "y")] == ["yes", "no", "yes"]


# Errors where it is made


def test_empty_phrase_is_rejected():
    with pytest.raises(ConstraintError, match="`after`"):
        constrain(ChoicesStrat(["a"]), after="")


def test_invalid_mod_name_is_rejected():
    with pytest.raises(ModDefinitionError, match="lower-case"):
        constrain(ChoicesStrat(["a"]), name="No Name")


@pytest.mark.parametrize("make", [constrain, Constrained, lambda c: allows(c, "yes")])
def test_object_that_is_not_a_constraint_is_rejected(make):
    with pytest.raises(ConstraintError, match=r"not \['yes', 'no'\]; .* ChoicesStrat\(\['yes'"):
        make(["yes", "no"])
    with pytest.raises(ConstraintError, match=r"make one of it: Regex\(...\)"):
        make(Regex)


@pytest.mark.parametrize(
    ("one", "other"),
    [(["a"], ["b"]), (["a"], ["ab"]), (["abc", "abd"], ["ab"]), (["a"], ["b", "c"])],
)
def test_contradicting_constraints_end_the_request_with_an_error(one, other):
    for first, second in ((one, other), (other, one)):
        mods = [
            constrain(ChoicesStrat(choices), name=name)
            for name, choices in (("first", first), ("second", second))
        ]
        with pytest.raises(ConcordanceError, match="does not allow"):
            play(*mods, script="abcabc")


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [(["ab"], ["ab", "ac"], "ab"), (["a", "b"], ["b", "c"], "b"), (["abc"], ["abc", "abd"], "abc")],
)
def test_text_under_two_constraints_satisfies_both(one, other, text):
    for first, second in ((one, other), (other, one)):
        mods = [
            constrain(ChoicesStrat(choices), name=name)
            for name, choices in (("first", first), ("second", second))
        ]

        assert play(*mods, script="zzzz").text == text
