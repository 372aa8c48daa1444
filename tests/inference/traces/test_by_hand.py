"""The laws of actions by hand in traces: as if a mod had acted, and they can be applied again."""

import json

import msgspec
import pytest
from concordance_inference.control import (
    Act,
    Adjust,
    AttachMod,
    BacktrackTo,
    DetachMod,
    End,
    Expected,
    Pause,
    Resume,
    Step,
)
from concordance_inference.engine.request.instances import instance_within
from concordance_inference.generation import SamplingParams
from concordance_inference.traces.builder import TraceBuilder
from concordance_inference.traces.commands import scheduled
from concordance_inference.traces.recorder import TraceRecorder
from concordance_inference.traces.schema import Trace
from concordance_sdk import ForwardPass, mod
from concordance_shared import (
    AdjustedLogits,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
)
from controlled import row_of, send, step_until
from tiny import TRAITS, ask, call, finish, make_engine, run, submit

SAMPLED = SamplingParams(temperature=1.0, seed=5)


@mod(max_backtrack=None)
class Busy:
    """Bans a token, takes back a token once, and forces one in its place."""

    limit: int = 5

    def __init__(self):
        self.num_added = 0

    def forward_pass(self, event, actions):
        return AdjustedLogits(ban=[1, 2])

    def added(self, event, actions):
        self.num_added += 1
        return Backtrack(1, [66]) if self.num_added == self.limit else None


#: The fourteen actions of live control, as the engine gets them.
COMMANDS = {
    "force": [Act(action=ForceTokens((65, 66, 67)))],
    "backtrack": [Act(action=Backtrack(2))],
    "backtrack to": [BacktrackTo(num_tokens=1, tokens=(70, 71))],
    "output": [Act(action=ForceOutput((80, 81)))],
    "end": [End()],
    "error": [Act(action=EmitError("enough"))],
    "pause and resume": [Pause(), Act(action=ForceTokens((65,))), Resume()],
    "step": [Pause(), Step(1), Resume()],
    "adjust": [Adjust(action=AdjustedLogits(allow=[97, 98, 99], token_temp=0.0), num_steps=3)],
    "bias": [Adjust(action=AdjustedLogits(bias={97: 9.0}, ban=[98]), num_steps=2)],
    "add mod": [AttachMod],
    "replace mod": [AttachMod, "busy"],
    "remove mod": [DetachMod("busy")],
    "reason": [Expected],
    "two": [Act(action=Backtrack(1, (65,))), Act(action=Backtrack(1, (66,)))],
}


def built(recorder):
    builder = TraceBuilder(Trace(id="r", prompt_ids=[], level=recorder.level), chr)
    builder.apply(recorder.take())
    return builder.trace


def attached(engine, request, replaces=None):
    made = call(Busy, limit=2)
    context = row_of(engine, request).mods.context
    instance = instance_within(5, made, context, TRAITS)
    return AttachMod(instance=instance, replaces=replaces, call=made)


def added_to_reasoning(state):
    expected = Expected(num_edits=state.num_edits, num_tokens=state.num_completion)
    return Act(action=ForceTokens((72, 73)), expected=expected)


def by_hand(commands, *mods, at=4, level="tokens", **fields):
    """The answers and the trace of a request to which commands are sent at a length."""
    engine, recorder = make_engine(), TraceRecorder(level)
    asked = ask("Hello", *mods, max_tokens=14, sampling=SAMPLED, recorder=recorder, **fields)
    answers = submit(engine, asked)
    step_until(engine, asked, at)
    if commands[0] is AttachMod:
        commands = [attached(engine, asked, *commands[1:])]
    if commands[0] is Expected:
        commands = [added_to_reasoning(row_of(engine, asked).state)]
    for command in commands:
        send(engine, asked, command)
        if isinstance(command, Step):
            for _ in range(5):
                engine.step()
    finish(engine)
    return answers, built(recorder)


def facts(trace):
    """What a trace says, without times and without what only a live command has."""
    tokens = [
        (t.token_id, t.position, t.origin, t.status, t.mod, t.removed_by) for t in trace.tokens
    ]
    events = [
        (e.mod, e.event, e.action, e.position, e.draws, e.removed, e.details)
        for e in trace.events
        if e.event != "command"
    ]
    return tokens, events, trace.completion_ids, trace.finish_reason, trace.error


def commands_of(trace):
    return [json.dumps(event.command) for event in trace.events if event.command]


def replayed(trace, *mods):
    """The trace of a request without live commands, which has those of a trace on its schedule."""
    trace = msgspec.json.decode(msgspec.json.encode(trace), type=Trace)

    def call_of(name, version, parameters):
        assert name == "busy"
        return call(Busy, **parameters)

    found = (scheduled(event, call_of) for event in trace.events)
    schedule = tuple(each for each in found if each is not None)
    recorder = TraceRecorder()
    fields = {"max_tokens": 14, "sampling": SAMPLED, "recorder": recorder}
    run(make_engine(), ask("Hello", *mods, scheduled=schedule, **fields))
    return built(recorder)


@pytest.mark.parametrize("at", [1, 4, 6])
@pytest.mark.parametrize("name", COMMANDS)
def test_scheduled_commands_repeat_what_was_done_by_hand(name, at):
    _, trace = by_hand(COMMANDS[name], Busy, at=at)

    again = replayed(trace, Busy)

    assert facts(again) == facts(trace)
    assert commands_of(again) == commands_of(trace)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "error"])
def test_commands_are_in_a_trace_of_requests_too(name):
    answers, trace = by_hand(COMMANDS[name], Busy, level="requests")

    again = replayed(trace, Busy)

    assert tuple(again.completion_ids) == answers.ids


def in_place_of(action, step):
    """A mod with the name of live control that returns an action once."""
    left = [1]

    @mod(name="hand", on=[ForwardPass])
    def hand(event, actions):
        if event.step == step and left[0]:
            left[0] = 0
            return action

    made = call(hand)
    return msgspec.structs.replace(made, name="@control")


@pytest.mark.parametrize(
    "name",
    ["force", "backtrack", "backtrack to", "output", "error", "reason", "two", "adjust"],
)
def test_an_action_by_hand_is_in_the_trace_as_that_of_a_mod(name):
    _, trace = by_hand(COMMANDS[name][:1], Busy, at=2)
    applied = next(event for event in trace.events if event.event == "command")
    command = scheduled(applied, None).command
    recorder = TraceRecorder()
    hand = in_place_of(command.action, applied.position)
    if isinstance(command, Adjust):
        hand = adjusting(command, applied.position)
    fields = {"max_tokens": 14, "sampling": SAMPLED, "recorder": recorder}

    run(make_engine(), ask("Hello", hand, Busy, **fields))

    assert facts(built(recorder)) == facts(trace)


def adjusting(command, step):
    @mod(name="hand", on=[ForwardPass])
    def hand(event, actions):
        if step <= event.step < step + command.num_steps:
            return command.action

    return msgspec.structs.replace(call(hand), name="@control")


def test_a_pause_has_no_command_to_apply_again():
    _, trace = by_hand([Pause(), Resume()])

    assert [e.action for e in trace.events if e.event == "command"] == ["pause", "resume"]
    assert all(event.command is None for event in trace.events)


def test_a_command_that_no_longer_fits_is_left_out_of_a_replay():
    _, trace = by_hand([Act(action=Backtrack(2))])
    event = next(event for event in trace.events if event.command)
    event.command["act"]["n"] = 100

    again = replayed(trace)

    assert not any(event.command for event in again.events)
    assert len(again.completion_ids) == 14
