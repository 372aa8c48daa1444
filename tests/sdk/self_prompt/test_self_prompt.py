"""A question in the middle of a completion: what is asked, what is answered, and what stays."""

import gc
import random

import pytest
from concordance_sdk import (
    Actions,
    Added,
    Finished,
    FinishReason,
    ForceTokens,
    ForwardPass,
    ModRaisedError,
    Sampled,
    mod,
)
from concordance_sdk.constraints import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    JsonSchema,
    ListStrat,
    UntilEndType,
    UntilStrat,
)
from concordance_sdk.self_prompt import EraseMode, SelfPrompt, self_prompt_mod
from concordance_sdk.testing import ByteTokenizer, ScriptedLogits, play
from concordance_shared import ConstraintError
from hypothesis import given, settings
from hypothesis import strategies as st

EOS = 256
YES_NO = ChoicesStrat(["yes", "no"])


#: What a model wants where it is not asked, since the prompt is put there.
UNASKED = 0


def wants(*texts):
    """A model that prefers these tokens one after the other, at any position, then ends."""
    queue = [i for text in texts for i in (text.encode() if isinstance(text, str) else [text])]
    return lambda completion: queue.pop(0) if queue else EOS


def asked(self_prompt, script, *others, **options):
    """Play a request that asks; return what became of it, and the answer."""
    answers = []

    @mod(name="asks", max_backtrack=None)
    def asks(event, actions, tokenizer):
        if isinstance(event, Finished):
            rid = event.request_id
            answers.append((self_prompt.answer(rid), self_prompt.value(rid)))
        return self_prompt.handle_event(event, actions, tokenizer)

    played = play(*others, asks, script=script, **options)
    return played, answers[0]


@pytest.mark.parametrize(
    ("erase", "text"),
    [
        (EraseMode.NONE, "Fair? no.Well"),
        (EraseMode.PROMPT, "no.Well"),
        (EraseMode.ALL, "Well"),
        ("all", "Well"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_erase_mode_selects_what_stays(erase, text, stream):
    fair = SelfPrompt(prompt="Fair? ", constraint=YES_NO, suffix=".", erase=erase)
    played, answer = asked(fair, wants(UNASKED, "n", "Well"), stream=stream)

    assert played.text == text
    assert answer == ("no", "no")


@pytest.mark.parametrize("erase", EraseMode)
def test_erased_tokens_are_removed_from_the_context(erase):
    """What it has read when it goes on is the text, token for token."""
    fair = SelfPrompt(prompt="Fair? ", constraint=YES_NO, suffix=".", erase=erase)
    seen = []

    @mod(on=[ForwardPass])
    def look(event, actions):
        seen.append(event.step)

    played, _ = asked(fair, wants(UNASKED, "n", "Well"), look)
    kept = {EraseMode.NONE: "Fair? no.", EraseMode.PROMPT: "no.", EraseMode.ALL: ""}[erase]

    assert seen == [0, 6, *range(len(kept), len(kept) + 5)]
    assert played.num_forced == {EraseMode.NONE: 8, EraseMode.PROMPT: 3, EraseMode.ALL: 0}[erase]


def test_self_prompt_costs_one_forward_pass_for_each_choice():
    fair = SelfPrompt(prompt="Is that fair? ", constraint=YES_NO, suffix=" So:")
    played, _ = asked(fair, wants(UNASKED, "n", "x"))

    assert played.text == "Is that fair? no So:x"
    #  the model's own prompt; ours, then n; "o So:", then x; x, then the end
    assert [len(read) for read in played.reads] == [1, 14, 6, 1]


def test_suffix_ends_an_answer_that_could_continue():
    answer = ChoicesStrat(["yes", "yes, please"])
    ask = SelfPrompt(prompt="?", constraint=answer, suffix="\n")

    assert asked(ask, wants(UNASKED, "\n", "so"))[1] == ("yes", "yes")
    assert asked(ask, wants(UNASKED, ",", "so"))[1] == ("yes, please", "yes, please")


def test_without_a_suffix_an_end_of_sequence_token_ends_only_the_answer():
    answer = ChoicesStrat(["yes", "yes, please"])
    ask = SelfPrompt(prompt="?", constraint=answer)
    played, (text, _) = asked(ask, wants(UNASKED, EOS, "and on"))

    assert (played.text, text) == ("?yesand on", "yes")
    assert played.finish_reason is FinishReason.STOP


@pytest.mark.parametrize(
    ("strategy", "script", "text", "value"),
    [
        (CharsStrat(CharsMode.NUMERIC, min=4, stop=4), "1984", "1984", "1984"),
        (CharsStrat(CharsMode.JS_FLOAT, stop=";"), "2.5;", "2.5", 2.5),
        (UntilStrat("<a>", UntilEndType.TAG, "</a>"), "b</a>", "<a>b</a>", "b"),
        (ListStrat(YES_NO, open="[", close="]", end_with="!"), "n,y]", "[no, yes]", ["no", "yes"]),
        (
            JsonSchema({"type": "array", "items": {"type": "null"}}),
            "n,]",
            "[null, null]",
            [None] * 2,
        ),
    ],
)
def test_self_prompt_takes_any_constraint(strategy, script, text, value):
    ask = SelfPrompt(prompt="?", constraint=strategy, suffix=";", erase=EraseMode.ALL)
    played, answer = asked(ask, wants(UNASKED, script, "" if ";" in script else ";", "ok"))

    assert answer == (text, value)
    assert played.text.endswith("k")


def test_list_with_end_with_gets_no_suffix():
    ask = SelfPrompt(prompt="?", constraint=ListStrat([YES_NO], end_with="!"), suffix="\n")

    assert asked(ask, wants(UNASKED, "n", "ok"))[0].text == "?no!ok"


@pytest.mark.parametrize("prompt", ["Q: ", {"text": "Q: "}, {"tokens": list(b"Q: ")}, list(b"Q: ")])
def test_prompt_is_text_or_tokens(prompt):
    assert (
        asked(SelfPrompt(prompt=prompt, constraint=YES_NO), wants(UNASKED, "n"))[0].text == "Q: no"
    )


def test_prompt_may_be_empty():
    assert asked(SelfPrompt(constraint=YES_NO), wants("n", "!"))[0].text == "no!"


@pytest.mark.parametrize(("suffix", "text"), [(" ok", "no ok"), ("", "no"), (None, "no")])
def test_the_suffix_is_forced_after_the_answer(suffix, text):
    ask = SelfPrompt(constraint=YES_NO, suffix=suffix)

    assert asked(ask, wants("n"))[0].text == text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": {"text", "Q"}}, "prompt of a SelfPrompt"),
        ({"prompt": 3}, "not 3"),
        ({"prompt": {"text": 3}}, "not 3"),
        ({"suffix": 3}, "suffix of a SelfPrompt"),
        ({"constraint": "yes"}, "must be a constraint, not 'yes'; for texts"),
    ],
)
def test_invalid_self_prompt_is_rejected(fields, words):
    with pytest.raises(ConstraintError, match=words):
        SelfPrompt(**{"constraint": YES_NO, **fields})


def test_invalid_erase_mode_is_rejected():
    with pytest.raises(ValueError, match="one of 'none', 'prompt', 'all', not 'some'"):
        SelfPrompt(constraint=YES_NO, erase="some")


def test_constraint_that_cannot_be_enforced_is_rejected_before_prefill():
    strategy = ListStrat([CharsStrat(CharsMode.STRING, stop=9), JsonSchema(True)], sep="")
    reads = []

    @mod(on=[ForwardPass])
    def count(event, actions):
        reads.append(event)

    with pytest.raises(ModRaisedError, match="ListStrat.*cannot be enforced"):
        play(count, self_prompt_mod(constraint=strategy), script="")
    assert reads == []


# By request


def test_each_request_has_its_own_answer_which_is_freed_with_it():
    fair = SelfPrompt(constraint=YES_NO)

    assert [asked(fair, wants(script))[1][0] for script in ("y", "n", "y")] == ["yes", "no", "yes"]
    gc.collect()
    assert fair.answer("played") is None
    assert not fair.is_complete("played")
    assert fair.answer_tokens("played") is None


def test_answer_is_available_while_the_request_runs():
    fair = SelfPrompt(constraint=YES_NO, erase=EraseMode.ALL)
    seen = []

    @mod(on=[ForwardPass, Added])
    def asks(event, actions, tokenizer):
        rid = event.request_id
        seen.append((fair.is_complete(rid), fair.answer(rid), fair.answer_tokens(rid)))
        return fair.handle_event(event, actions, tokenizer)

    play(asks, script=wants("n", "!"))

    assert seen[0] == (False, None, None)
    assert seen[-1] == (True, "no", list(b"no"))


def test_answer_is_available_at_finished():
    fair = SelfPrompt(constraint=YES_NO)
    answers = []

    @mod
    def asks(event, actions, tokenizer):
        action = fair.handle_event(event, actions, tokenizer)
        if isinstance(event, Finished):
            answers.append(fair.answer(event.request_id))
        return action

    play(asks, script=wants("n"))

    assert answers == ["no"]


def test_answer_outside_of_a_request_is_kept_until_finished():
    fair, tokenizer = SelfPrompt(prompt="?", constraint=YES_NO), ByteTokenizer()
    logits = ScriptedLogits([0.0] * 257)
    events = [
        ForwardPass(request_id="r", step=0, logits=logits),
        Added(request_id="r", step=0, added_tokens=tuple(b"?no"), forced=True),
    ]
    actions = [fair.handle_event(event, Actions(tokenizer), tokenizer) for event in events]
    assert (actions, fair.answer("r")) == ([ForceTokens(tuple(b"?")), None], "no")

    end = Finished(request_id="r", step=3, finish_reason=FinishReason.STOP)
    fair.handle_event(end, Actions(tokenizer), tokenizer)
    assert fair.answer("r") is None


def test_refresh_responses_for_requests_that_have_not_begun():
    ask = SelfPrompt(constraint=YES_NO)
    ask.refresh_responses(["left", "right"])

    assert asked(ask, wants("l"))[1][0] == "left"


def test_refresh_responses_for_one_request_asks_again():
    ask = SelfPrompt(prompt="?", constraint=YES_NO)
    refreshed = []

    @mod(max_backtrack=None)
    def asks(event, actions, tokenizer):
        if isinstance(event, Added) and ask.is_complete(event.request_id) and not refreshed:
            refreshed.append(event)
            ask.refresh_responses(["left", "right"], request_id=event.request_id)
        return ask.handle_event(event, actions, tokenizer)

    assert play(asks, script=wants(UNASKED, "n", "!", UNASKED, "l", "!")).text == "?no!?left!"
    assert asked(ask, wants("n"))[1][0] == "no"


@pytest.mark.parametrize(
    ("strategy", "idx", "text"),
    [
        (ListStrat(YES_NO, min=1, max=1), None, "left"),
        (ListStrat([YES_NO, YES_NO], sep=" "), 0, "left no"),
        (ListStrat([YES_NO, YES_NO], sep=" "), 1, "no left"),
    ],
)
def test_refresh_responses_of_a_list(strategy, idx, text):
    ask = SelfPrompt(constraint=strategy)
    ask.refresh_responses(["left", "right"], idx=idx)

    assert asked(ask, wants(*(word[0] for word in text.split())))[1][0] == text


@pytest.mark.parametrize("strategy", [JsonSchema(True), ListStrat(JsonSchema(True))])
def test_refresh_responses_without_choices_is_rejected(strategy):
    with pytest.raises(ConstraintError, match="refresh_responses changes a ChoicesStrat"):
        SelfPrompt(constraint=strategy).refresh_responses(["a"])


@pytest.mark.parametrize("idx", [None, -1, 2])
def test_refresh_responses_of_a_fixed_list_needs_an_index(idx):
    question = SelfPrompt(constraint=ListStrat([YES_NO, YES_NO]))

    with pytest.raises(ConstraintError, match="the constraint has 2 elements"):
        question.refresh_responses(["a"], idx=idx)


# In mods of every kind


def test_action_of_added_may_be_dropped():
    fair = SelfPrompt(prompt={"text": "Fair? "}, constraint=YES_NO, erase=EraseMode.ALL)
    answers = []

    @mod(max_backtrack=None)
    def classify(event, actions, tokenizer):
        if type(event).__name__ == "Prefilled":
            fair.prefilled(event, actions, tokenizer)
            return actions.noop()
        if isinstance(event, ForwardPass):
            return fair.forward_pass(event, actions, tokenizer)
        if isinstance(event, Added):
            fair.added(event, actions, tokenizer)
            if fair.is_complete(event.request_id):
                answers.append(tokenizer.decode(fair.answer_tokens(event.request_id)))
        return actions.noop()

    assert play(classify, script=wants(UNASKED, "n", "n", "n", "Well, well, well, well")).text == (
        "Well, well, well, well"
    )
    assert answers[0] == "no"


def test_mod_may_start_runs_anywhere():
    mood = SelfPrompt(prompt=" (mood: ", constraint=ChoicesStrat(["good", "bad"]), suffix=")")

    @mod
    class Moody:
        def __init__(self):
            self.run = None
            self.moods = []

        def forward_pass(self, event, actions, tokenizer):
            if self.run is None and event.step in (2, 20):
                self.run = mood.start(tokenizer)
            if self.run is None:
                return None
            edit = self.run.before(event.step)
            return edit.action(actions) if edit else self.run.masked(actions)

        def added(self, event, actions, tokenizer):
            if self.run is None:
                return None
            edit = self.run.after(event.step, event.added_tokens)
            if self.run.is_complete:
                self.moods.append(self.run.text)
                self.run = None
                if len(self.moods) == 2:
                    return actions.force_output(tokenizer.encode(" ".join(self.moods)))
            return edit.action(actions)

    assert play(Moody, script=wants("Hi", UNASKED, "g", "abcdef", UNASKED, "b")).text == "good bad"


def test_self_prompt_mod_asks_at_the_start():
    mood = self_prompt_mod(prompt="Mood: ", constraint=YES_NO, suffix="\n", name="mood")

    assert play(mood, script=wants(UNASKED, "n", "Hm")).text == "Mood: no\nHm"


def test_self_prompt_mod_that_erases_holds_a_stream_back():
    mood = self_prompt_mod(prompt="x" * 99, constraint=YES_NO, erase=EraseMode.PROMPT)

    assert play(mood, script=wants(UNASKED, "n", "Hm"), stream=True).text == "noHm"


def test_stream_holds_back_what_is_erased_without_a_declaration():
    ask = SelfPrompt(prompt="x" * 99, constraint=YES_NO, erase=EraseMode.PROMPT)

    @mod(max_backtrack=8)
    def asks(event, actions, tokenizer):
        return ask.handle_event(event, actions, tokenizer)

    assert play(asks, script=wants(UNASKED, "n", "Hm"), stream=True).text == "noHm"


def test_argmax_sampling_takes_the_top_allowed_answer():
    temperatures = []
    ask = SelfPrompt(prompt="?", constraint=YES_NO, argmax_sampling=True)

    @mod(on=[ForwardPass])
    def asks(event, actions, tokenizer):
        action = ask.handle_event(event, actions, tokenizer)
        temperatures.append(getattr(action, "token_temp", None))
        return action

    play(asks, script=wants(UNASKED, "n"), max_tokens=2)

    assert temperatures == [None, 0.0]


# Other mods


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), erase=st.sampled_from(EraseMode))
def test_allowed_answer_follows_the_prompt_wherever_another_mod_backtracks(seed, erase):
    dice = random.Random(seed)
    question = SelfPrompt(prompt="Is it? ", constraint=YES_NO, suffix=".", erase=erase)
    is_done = []

    @mod(on=[ForwardPass, Sampled, Added], max_backtrack=None)
    def neighbour(event, actions):
        length = event.step + (len(event.added_tokens) if isinstance(event, Added) else 0)
        if length and not is_done and dice.random() < 0.2:
            return actions.backtrack(dice.randint(1, min(length, 9)))

    @mod(name="asks", max_backtrack=None)
    def asks(event, actions, tokenizer):
        action = question.handle_event(event, actions, tokenizer)
        is_done[:] = [True] if question.is_complete(event.request_id) else []
        return action

    script = lambda completion: dice.choice(b"yn") if dice.random() < 0.9 else EOS  # noqa: E731
    for mods in ((neighbour, asks), (asks, neighbour)):
        is_done.clear()
        text = play(*mods, script=script, max_tokens=60).text
        if erase is not EraseMode.ALL:
            begin = "" if erase is EraseMode.PROMPT else "Is it? "
            assert text.startswith((begin + "yes.", begin + "no."))
        else:
            assert not text.strip("yn")


def test_tokens_that_another_mod_forces_after_the_answer_are_kept():
    @mod(on=[Sampled])
    def more(event, actions):
        return actions.force_tokens(b"no and more") if event.sampled_token == ord("n") else None

    ask = SelfPrompt(prompt="Is it? ", constraint=YES_NO, erase=EraseMode.PROMPT)
    played, answer = asked(ask, wants(UNASKED, "n", "!"), more)

    assert (played.text, answer[0]) == ("no and more!", "no")


def test_prompt_that_another_mod_replaces_is_forced_again():
    replaced = []

    @mod(on=[Added], max_backtrack=None)
    def rude(event, actions):
        if event.added_tokens[:3] == tuple(b"Is ") and not replaced:
            replaced.append(event)
            return actions.backtrack(len(event.added_tokens), b"Hm. ")

    ask = SelfPrompt(prompt="Is it? ", constraint=YES_NO, erase=EraseMode.PROMPT)

    assert asked(ask, wants(UNASKED, UNASKED, "n", "!"), rude)[0].text == "Hm. no!"


def test_token_budget_ends_an_incomplete_span():
    ask = SelfPrompt(prompt="Is it? ", constraint=YES_NO)
    played, answer = asked(ask, wants(UNASKED, "n"), max_tokens=4)

    assert (played.text, played.finish_reason) == ("Is i", FinishReason.LENGTH)
    assert answer == (None, None)
