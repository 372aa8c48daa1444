"""The law of control: a command at step k equals a mod that acts at `ForwardPass` of step k."""

import random

import pytest
from concordance_inference.control import (
    Act,
    Adjust,
    AttachMod,
    BacktrackTo,
    End,
    Outcome,
    Pause,
    Resume,
    Step,
)
from concordance_inference.engine.control.row_control import RowControl
from concordance_inference.engine.request.instances import instance_within
from concordance_inference.generation import Completed, SamplingParams
from concordance_sdk import Actions, ForwardPass, Sampled, mod
from concordance_shared import (
    AdjustedLogits,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    InvalidActionError,
)
from controlled import row_of, send, step_until
from families import FAMILIES, model_named
from meddling import meddler_of
from tiny import EOS, TRAITS, ask, call, finish, make_engine, run, submit

SAMPLED = SamplingParams(temperature=1.0, seed=5)
ACTIONS = {
    "force": ForceTokens([65, 66, 67]),
    "backtrack": Backtrack(2),
    "replace": Backtrack(3, [70, 71]),
    "output": ForceOutput([80, 81]),
    "error": EmitError("enough"),
}


def acting_at(step, action):
    """A mod that returns an action once, at `ForwardPass` of a step."""
    left = [1]

    @mod(name="hand", on=[ForwardPass])
    def hand(event, actions):
        if event.step == step and left[0]:
            left[0] = 0
            return action

    return hand


def recorder(log):
    """A mod that records every event but the logits."""

    @mod(name="recorder")
    def record(event, actions):
        fields = {k: v for k in event.__struct_fields__ if (v := getattr(event, k)) is not None}
        for name in ("request_id", "logits", "known_place"):
            fields.pop(name, None)
        log.append((type(event).__name__, fields))

    return record


def meddler(seed):
    dice = random.Random(seed)
    return meddler_of(dice, lambda count: [dice.randrange(256) for _ in range(count)])


def result_of(answers):
    """What a client receives, with one name for the hand and the mod in its place."""
    end = answers.end
    if not isinstance(end, Completed):
        return type(end.error).__name__
    forced_by = tuple("hand" if name == "@control" else name for name in end.forced_by)
    counts = end.forced_tokens, end.backtracked_tokens, end.completion_tokens
    return end.token_ids, end.text, end.finish_reason, forced_by, counts


def by_hand(engine, request, command, length):
    answers = submit(engine, request)
    step_until(engine, request, length)
    sent = send(engine, request, command)
    finish(engine)
    return answers, sent.outcome


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_by_hand_equals_a_mod_that_takes_it_at_the_same_step(family, action):
    engine = make_engine(model_named(family))
    seen_by_hand, seen_by_mod = [], []
    request = ask("Hello", recorder(seen_by_hand), max_tokens=20, sampling=SAMPLED)
    by_command, outcome = by_hand(engine, request, Act(action=ACTIONS[action]), 5)
    acting = acting_at(outcome.step, ACTIONS[action])
    by_mod = run(
        engine, ask("Hello", acting, recorder(seen_by_mod), max_tokens=20, sampling=SAMPLED)
    )

    assert result_of(by_command) == result_of(by_mod)
    assert seen_by_hand == seen_by_mod


@pytest.mark.parametrize("seed", range(6))
def test_the_law_holds_beside_mods_that_force_and_backtrack(seed):
    engine = make_engine(model_named("llama"))
    request = ask("Hello", meddler(seed), max_tokens=24, sampling=SAMPLED)
    answers = submit(engine, request)
    step_until(engine, request, 1 + seed)
    sent = send(engine, request, Act(action=ForceTokens([65, 66])))
    finish(engine)
    outcome = sent.outcome
    if not isinstance(outcome, Outcome):
        return
    by_mod = run(
        engine,
        ask(
            "Hello",
            acting_at(outcome.step, ForceTokens([65, 66])),
            meddler(seed),
            max_tokens=24,
            sampling=SAMPLED,
        ),
    )

    assert result_of(answers)[:3] == result_of(by_mod)[:3]


def test_changing_the_next_distribution_equals_a_mod_that_does():
    engine = make_engine()
    change = AdjustedLogits(allow=[65, 66])
    request = ask(max_tokens=12, sampling=SAMPLED)
    answers, outcome = by_hand(engine, request, Adjust(action=change), 4)
    by_mod = run(engine, ask("Hello", acting_at(outcome.step, change), sampling=SAMPLED))

    assert answers.ids == by_mod.ids
    assert answers.ids[outcome.step] in (65, 66)


def test_a_change_by_hand_that_leaves_no_token_ends_only_its_request():
    engine = make_engine()
    others = ask("Other", max_tokens=20)
    request = ask(max_tokens=12, min_tokens=8)
    beside, only_ends = submit(engine, others), AdjustedLogits(allow=[EOS])
    answers, _ = by_hand(engine, request, Adjust(action=only_ends), 3)

    assert isinstance(answers.error, InvalidActionError)
    assert "'@control'" in str(answers.error)
    assert beside.ids == run(engine, ask("Other", max_tokens=20)).ids


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stream", [False, True])
def test_pausing_and_resuming_changes_no_token(family, stream):
    engine = make_engine(model_named(family))
    plain = run(engine, ask(max_tokens=20, sampling=SAMPLED))
    request = ask(max_tokens=20, sampling=SAMPLED, stream=stream)
    answers = submit(engine, request)
    step_until(engine, request, 6)
    paused = send(engine, request, Pause())
    while engine.has_work:
        engine.step()
    assert paused.outcome.state == "paused"
    assert not isinstance(answers.updates[-1:] and answers.end, Completed)
    resumed = send(engine, request, Resume())
    finish(engine)

    assert answers.ids == plain.ids
    assert resumed.outcome.state == "running"


def test_single_steps_give_the_tokens_of_the_plain_request():
    engine = make_engine()
    plain = run(engine, ask(max_tokens=10, sampling=SAMPLED))
    request = ask(max_tokens=10, sampling=SAMPLED)
    answers = submit(engine, request)
    engine.step()
    send(engine, request, Pause())
    stepped = []
    while not answers.updates or not isinstance(answers.end, Completed):
        while engine.has_work:
            engine.step()
        if answers.updates and isinstance(answers.end, Completed):
            break
        sent = send(engine, request, Step(3))
        while engine.has_work:
            engine.step()
        stepped += sent.outcome.token_ids

    assert answers.ids == plain.ids
    assert tuple(stepped) == plain.ids[len(plain.ids) - len(stepped) :]


def test_a_paused_request_lets_others_run():
    engine = make_engine(max_rows=1)
    first, second = ask(max_tokens=20), ask("Other", max_tokens=5)
    answers = submit(engine, first)
    step_until(engine, first, 3)
    send(engine, first, Pause())
    others = submit(engine, second)
    finish(engine)

    assert isinstance(others.end, Completed)
    send(engine, first, Resume())
    finish(engine)
    assert answers.ids == run(engine, ask(max_tokens=20)).ids


def test_an_action_on_a_waiting_request_is_applied_before_it_gets_a_row():
    engine = make_engine(max_rows=1)
    submit(engine, ask("Other", max_tokens=5))
    engine.step()
    request = ask(max_tokens=8)
    answers = submit(engine, request)
    sent = send(engine, request, Act(action=ForceTokens([65, 66])))

    assert (sent.outcome.step, sent.outcome.completion_tokens) == (0, 2)
    finish(engine)
    by_mod = run(engine, ask("Hello", acting_at(0, ForceTokens([65, 66])), max_tokens=8))
    assert answers.ids == by_mod.ids


def test_an_action_during_prefill_is_applied_before_the_prompt_is_processed():
    engine = make_engine(chunk=4)
    request = ask("Hello there, how are you?", max_tokens=8)
    answers = submit(engine, request)
    engine.step()
    assert row_of(engine, request).state.num_cached < 25
    sent = send(engine, request, Act(action=ForceTokens([65])))

    assert sent.outcome.step == 0
    finish(engine)
    by_mod = run(
        engine,
        ask("Hello there, how are you?", acting_at(0, ForceTokens([65])), max_tokens=8),
    )
    assert answers.ids == by_mod.ids


@pytest.mark.parametrize("length", [9, 40])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_request_that_is_paused_after_every_step_progresses(family, length):
    engine = make_engine(model_named(family), chunk=2)
    prompt = bytes(range(60, 60 + length)).decode()
    expected = run(make_engine(model_named(family), chunk=2), ask(prompt, max_tokens=3))
    request = ask(prompt, max_tokens=3)
    answers = submit(engine, request)
    rounds = 0
    while not answers.updates or not isinstance(answers.end, Completed):
        engine.step()
        send(engine, request, Pause())
        engine.step()
        send(engine, request, Resume())
        rounds += 1
        assert rounds <= length + 9

    assert answers.ids == expected.ids


def test_end_equals_stop_of_a_mod():
    engine = make_engine()
    answers, outcome = by_hand(engine, ask(max_tokens=20), End(), 4)
    stop = Actions(TRAITS.tokenizer).stop()
    by_mod = run(engine, ask("Hello", acting_at(outcome.step, stop), max_tokens=20))

    assert result_of(answers) == result_of(by_mod)
    assert outcome.state == "ended"


@pytest.mark.parametrize(
    "limits",
    [{"stop_token_ids": (65,)}, {"min_tokens": 9}, {"ignore_eos": True}],
    ids=lambda limits: next(iter(limits)),
)
def test_end_forces_the_token_of_the_model_that_ends_completions(limits):
    engine = make_engine()
    answers, outcome = by_hand(engine, ask(max_tokens=20, **limits), End(), 4)
    stop = acting_at(outcome.step, Actions(TRAITS.tokenizer).stop())
    by_mod = run(engine, ask("Hello", stop, max_tokens=20, **limits))

    assert result_of(answers) == result_of(by_mod)
    assert answers.end.stopped_by is None


def test_end_is_not_reported_as_a_stop_token_of_the_request():
    limits = {"ignore_eos": True, "stop_token_ids": (EOS,)}
    answers, outcome = by_hand(make_engine(), ask(max_tokens=20, **limits), End(), 4)

    assert outcome.state == "ended"
    assert len(answers.ids) == outcome.step
    assert (answers.end.finish_reason, answers.end.stopped_by) == ("stop", None)


@pytest.mark.parametrize("wants", [{"top_logprobs": 1}, {"prompt_logprobs": 1}])
@pytest.mark.parametrize("ending", [End(), Act(action=ForceTokens([65] * 20))])
def test_a_paused_request_that_a_command_ends_gets_its_missing_logprobs(ending, wants):
    engine = make_engine()
    request = ask(max_tokens=12, **wants)
    answers = submit(engine, request)
    engine.step()
    send(engine, request, Pause())
    finish(engine)
    assert send(engine, request, ending).outcome.state == "ended"
    finish(engine)

    assert isinstance(answers.end, Completed)
    assert engine.control.next_s is None


@pytest.mark.parametrize("keeps", [{"num_tokens": 3}, {"num_chars": 3}, {"num_chars": 0}])
def test_backtracking_to_a_position_keeps_what_is_before_it(keeps):
    engine = make_engine()
    request = ask(max_tokens=20, sampling=SamplingParams(temperature=0, logit_bias=LETTERS))
    plain = run(engine, request)
    again = ask(max_tokens=20, sampling=SamplingParams(temperature=0, logit_bias=LETTERS))
    answers, outcome = by_hand(engine, again, BacktrackTo(**keeps, tokens=(33,)), 6)
    kept = sum(keeps.values())

    assert outcome.backtracked_tokens == outcome.step - kept
    assert answers.end.text[: kept + 1] == plain.end.text[:kept] + "!"


LETTERS = {ord(letter): 60.0 for letter in "abcdefgh"}


def test_a_mod_added_later_catches_up_and_then_follows():
    engine = make_engine()
    log, whole = [], []
    request = ask(max_tokens=10, sampling=SAMPLED)
    answers = submit(engine, request)
    step_until(engine, request, 4)
    context = row_of(engine, request).mods.context
    instance = instance_within(5, call(recorder(log)), context, TRAITS)
    sent = send(engine, request, AttachMod(instance=instance))
    finish(engine)
    run(engine, ask("Hello", recorder(whole), max_tokens=10, sampling=SAMPLED))
    k = sent.outcome.step

    assert log[0] == whole[0]
    assert log[1] == ("Added", {"step": 0, "added_tokens": answers.ids[:k], "forced": False})
    steps_of = [entry for entry in whole if entry[0] != "Prefilled" and entry[1]["step"] >= k]
    assert log[2:] == steps_of


def test_a_mod_added_later_reads_the_logprob_of_the_next_token():
    read = []

    @mod(name="reader", on=[Sampled])
    def reader(event, actions):
        read.append((event.step, event.logprob))

    engine = make_engine()
    plain = run(engine, ask(max_tokens=10, top_logprobs=0))
    request = ask(max_tokens=10)
    answers = submit(engine, request)
    step_until(engine, request, 4)
    instance = instance_within(5, call(reader), row_of(engine, request).mods.context, TRAITS)
    sent = send(engine, request, AttachMod(instance=instance))
    finish(engine)

    assert answers.ids == plain.ids
    assert [step for step, _ in read] == list(range(sent.outcome.step, 10))
    assert [logprob for _, logprob in read] == pytest.approx(
        [entry.logprob for entry in plain.end.logprobs[sent.outcome.step :]], abs=1e-4
    )


class Journal:
    """Where commands were applied: draws before it, the step, and the action."""

    def __init__(self, monkeypatch):
        self.entries = []
        plain = RowControl._apply

        def recording(control, ticket):
            state, command = control._row.state, ticket.command
            entry = (state.num_sampled, state.num_completion, getattr(command, "action", None))
            is_edit = isinstance(command, Act)
            before = state.num_edits
            plain(control, ticket)
            if is_edit and state.num_edits != before:
                self.entries.append(entry)

        monkeypatch.setattr(RowControl, "_apply", recording)

    def replaying(self):
        """A mod that returns the actions at the same positions."""
        left, draws = list(self.entries), [0]

        @mod(name="hand", on=[ForwardPass, Sampled])
        def hand(event, actions):
            if isinstance(event, Sampled):
                draws[0] += 1
            elif left and left[0][:2] == (draws[0], event.step):
                return left.pop(0)[2]

        return hand


@pytest.mark.parametrize("family", ["llama", "mamba", "gpt_oss"])
@pytest.mark.parametrize("seed", range(4))
def test_random_commands_equal_a_mod_that_takes_them_at_the_same_positions(
    family, seed, monkeypatch
):
    dice, journal = random.Random(f"{family}/{seed}"), Journal(monkeypatch)
    engine = make_engine(model_named(family), chunk=dice.choice([3, 64]), max_rows=3)
    request = ask("Hello there", max_tokens=40, sampling=SAMPLED)
    answers = submit(engine, request)
    for i in range(dice.randrange(3)):
        submit(engine, ask(f"Other {i}", max_tokens=dice.randrange(1, 60)))
    is_paused = False
    for _ in range(300):
        if dice.random() < 0.3:
            command = _random_command(dice, is_paused=is_paused)
            is_paused = isinstance(command, Pause) or (
                is_paused and not isinstance(command, Resume)
            )
            send(engine, request, command)
        if engine.has_work:
            engine.step()
    send(engine, request, Resume())
    finish(engine)
    replayed = run(
        make_engine(model_named(family)),
        ask("Hello there", journal.replaying(), max_tokens=40, sampling=SAMPLED),
    )

    assert result_of(answers) == result_of(replayed)


def _random_command(dice, *, is_paused):
    tokens = [dice.randrange(256) for _ in range(dice.randrange(1, 5))]
    commands = [
        Act(action=ForceTokens(tokens)),
        Act(action=Backtrack(dice.randrange(1, 7))),
        Act(action=Backtrack(dice.randrange(1, 7), tokens)),
        Resume() if is_paused else Pause(),
    ]
    return dice.choice(commands)
