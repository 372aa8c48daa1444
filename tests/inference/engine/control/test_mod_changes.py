"""Mods that are added to a running request, replaced and removed."""

import pytest
from concordance_inference.control import (
    Act,
    AttachMod,
    DetachMod,
    RefusedCommandError,
)
from concordance_inference.engine.request.instances import instance_within
from concordance_sdk import Added, ForwardPass, Prefilled, mod
from concordance_shared import (
    Backtrack,
    ModRaisedError,
)
from controlled import row_of, send, step_until
from tiny import TRAITS, ask, call, finish, make_engine, run, submit


def attached(engine, request, definition, **fields):
    context = row_of(engine, request).mods.context
    instance = instance_within(5, call(definition), context, TRAITS)
    return send(engine, request, AttachMod(instance=instance, **fields))


def test_a_removed_mod_gets_finished_and_acts_no_more():
    seen = []

    @mod(name="watcher")
    def watcher(event, actions):
        seen.append(type(event).__name__)

    engine = make_engine()
    request = ask("Hello", watcher, max_tokens=20)
    submit(engine, request)
    step_until(engine, request, 3)
    send(engine, request, DetachMod("watcher"))
    finish(engine)

    assert seen.count("Finished") == 1
    assert seen[-1] == "Finished"


def test_a_mod_that_changes_the_prompt_cannot_be_added():
    @mod(on=[Prefilled])
    def rewrites(event, actions):
        return actions.adjust_prefill([65, 66])

    engine = make_engine()
    request = ask(max_tokens=12)
    answers = submit(engine, request)
    engine.step()
    engine.step()
    sent = attached(engine, request, rewrites)
    finish(engine)

    assert "prompt is processed already" in sent.outcome.message
    assert answers.ids == run(engine, ask(max_tokens=12)).ids


def test_a_mod_that_fails_while_it_catches_up_leaves_the_request_as_it_was():
    @mod(on=[Added])
    def broken(event, actions):
        raise ValueError("kaput")

    engine = make_engine()
    request = ask(max_tokens=12)
    answers = submit(engine, request)
    step_until(engine, request, 3)
    sent = attached(engine, request, broken)
    finish(engine)

    assert isinstance(sent.outcome, ModRaisedError)
    assert answers.ids == run(engine, ask(max_tokens=12)).ids


def test_a_mod_in_the_place_of_another_acts_from_the_next_position_on():
    @mod(name="bans", on=[ForwardPass])
    def bans(event, actions):
        return actions.adjust_logits(allow=[65])

    @mod(name="allows", on=[ForwardPass])
    def allows(event, actions):
        return actions.adjust_logits(allow=[66])

    engine = make_engine()
    request = ask("Hello", bans, max_tokens=12)
    answers = submit(engine, request)
    step_until(engine, request, 4)
    sent = attached(engine, request, allows, replaces="bans")
    finish(engine)
    step = sent.outcome.step

    assert answers.ids == (65,) * step + (66,) * (12 - step)
    assert [usage.mod for usage in answers.end.mods] == ["allows", "bans"]


def test_text_that_a_mod_holds_back_is_backtracked_by_hand_in_a_stream():
    @mod(on=[Added], max_backtrack=8)
    def holds(event, actions): ...

    engine = make_engine()
    request = ask("Hello", holds, max_tokens=30, stream=True)
    answers = submit(engine, request)
    step_until(engine, request, 12)
    held = send(engine, request, Act(action=Backtrack(3)))
    sent = send(engine, request, Act(action=Backtrack(9)))
    finish(engine)

    assert held.outcome.backtracked_tokens == 3
    assert isinstance(sent.outcome, RefusedCommandError)
    assert answers.shown == answers.end.text


@pytest.mark.parametrize("acts_first", [False, True])
def test_a_mod_whose_replacement_fails_continues_where_it_was(acts_first):
    seen = []

    @mod(name="follower", on=[Added])
    def follower(event, actions):
        seen.append((event.step, len(event.added_tokens)))

    @mod(on=[Added])
    def broken(event, actions):
        if acts_first and not event.forced:
            return actions.backtrack(1, [65])
        raise ValueError("kaput")

    engine = make_engine()
    request = ask("Hello", follower, max_tokens=12)
    submit(engine, request)
    step_until(engine, request, 4)
    sent = attached(engine, request, broken, replaces="follower")
    engine.step()
    finish(engine)

    assert isinstance(sent.outcome, ModRaisedError)
    assert [step for step, _ in seen].count(0) == 1
    assert sum(seen[-1]) == 12
