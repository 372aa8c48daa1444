"""Flows of `quote_mod_sdk`, and their states."""

import gc
import json

import pytest
from concordance_sdk import Message
from concordance_sdk.testing import play
from concordance_shared import FunctionCall, ToolCall
from tiny import ask, call, make_engine, run

IMPORTS = """
from dataclasses import dataclass, field
from typing import Any, Dict, Optional
from quote_mod_sdk import ActionBuilder, Added, ForwardPass, Prefilled, get_conversation, mod
from quote_mod_sdk import tool_call_pairs
from quote_mod_sdk.flow import (
    FlowDefinition, FlowEngine, FlowQuestion, FlowRoute, FlowState, RequestState, RouteKind,
    RouteTarget, route_message, route_noop, route_output, route_question, route_summary, route_tool,
)
from quote_mod_sdk.self_prompt import EraseMode
from quote_mod_sdk.strategies.strategy_constructor import ChoicesStrat, UntilStrat
from quote_mod_sdk.strategies.primitives import UntilEndType
"""

SURE = """
sure = FlowQuestion(
    name="sure", prompt=" Sure? ", strategy=ChoicesStrat(["yes", "no"]), erase_mode=EraseMode.ALL
)
"""

HANDLED = """
ENGINE = FlowEngine(entry_question=sure)

@mod
def flow(event, actions: ActionBuilder, tokenizer: Any):
    return ENGINE.handle_event(event, actions, tokenizer)
"""


@pytest.mark.parametrize(
    ("routes", "text"),
    [
        ("sure.on('yes', route_message('Done.'))", "Done."),
        ("sure.on('yes', lambda state: route_output('Done.'))", "Done."),
        ("sure.then('Done.')", "Done."),
        ("sure.then(route_summary('Done.'))", "Done."),
        ("sure.then(lambda state: lambda state: 'Done.')", "Done."),
        ("sure.assign(lambda s, a: s.data.update(a=a)).then(lambda s: s.data['a'])", "yes"),
        ("sure.branch(lambda state: None).branch(lambda state: 'Branched.')", "Branched."),
        ("sure.branch(lambda state: 'Branched.').then('Done.')", "Done."),
        ("sure.with_auto_answer(lambda state: 'no').on('no', 'Known.')", "Known."),
        ("sure.with_auto_answer(lambda state: state.missing).on('yes', 'Asked.')", "Asked."),
        ("sure.with_auto_answer(lambda state: 3).on('yes', 'Asked.')", "Asked."),
        ("sure = FlowQuestion('sure', ' Sure? ', ChoicesStrat(['yes', 'no']), erase_mode="
         "EraseMode.ALL, default_route='Done.')", "Done."),
        ("sure.then('Done.'); sure.erase_mode = EraseMode.NONE; sure.prompt = '? '; "
         "sure.strategy = ChoicesStrat(['maybe'])", "? maybe\nDone."),
        ("assert (sure.prompt, sure.completion_text) == (' Sure? ', '\\n'); "
         "assert sure.erase_mode is EraseMode.ALL and sure.strategy.choices == ['yes', 'no']; "
         "sure.then('Done.')", "Done."),
        ("sure.then(FlowRoute(RouteKind.TOOL, callback=lambda actions, state, tokenizer: "
         "actions.force_output(tokenizer.encode('Called.'))))", "Called."),
        ("call = lambda actions, state, tokenizer: None; assert route_tool(call).callback is call; "
         "assert isinstance(route_message('Done.'), FlowRoute); sure.then(route_message('Done.'))",
         "Done."),
        ("sure.then(lambda state: route_message(state.data.get('missing')))", ""),
        ("sure.on('no', route_noop())", "yes"),
        ("route: RouteTarget = FlowRoute(RouteKind.MESSAGE, message='Done.'); sure.then(route)",
         "Done."),
        ("sure.then(route_tool(lambda actions, state, tokenizer: actions.force_output("
         "tokenizer.encode(state.answers['sure'] + '!', add_special_tokens=False))))", "yes!"),
    ],
)  # fmt: skip
def test_routes_are_followed(load, routes, text):
    definition = load(IMPORTS + SURE + routes + HANDLED)

    assert play(definition, says="yyes").text == text


STATEFUL = (
    IMPORTS
    + """
@dataclass
class AppState:
    request_id: str
    current_question: Optional[FlowQuestion] = None
    pending_route: Optional[FlowRoute] = None
    answers: Dict[str, str] = field(default_factory=dict)
    data: Dict[str, Any] = field(default_factory=dict)
    reservation: Optional[str] = None

second = FlowQuestion(
    name="planner.why", prompt=" Why? ",
    strategy=UntilStrat("<why>", UntilEndType.TAG, "</why>"), erase_mode=EraseMode.ALL,
)
second.then(lambda ctx: route_output(
    ctx.reservation + ": " + ctx.answers["planner.why"][len("<why>"):-1*len("</why>")].strip()
))
first = FlowQuestion(
    name="sure", prompt=" Sure? ", strategy=ChoicesStrat(["yes", "no"]), erase_mode=EraseMode.ALL
).on("yes", route_question(second))

ENGINE = FlowEngine(entry_question=first, state_factory=lambda rid: AppState(request_id=rid))
seen = []

@mod
def helper(event, actions: ActionBuilder, tokenizer: Any):
    had_state = ENGINE._states.get(event.request_id) is not None
    state = ENGINE._get_state(event.request_id)
    if isinstance(event, Prefilled) and not had_state:
        assert state.current_question is None
        for call, result in tool_call_pairs(get_conversation()):
            state.reservation = call["function"]["name"] + " " + str(result)
        return ENGINE.handle_event(event, actions, tokenizer)
    assert had_state and ENGINE._states[event.request_id] is state
    if isinstance(event, (ForwardPass, Added)):
        action = ENGINE.handle_event(event, actions, tokenizer)
        if state.current_question is not None:
            state.data.setdefault(state.current_question.name, len(state.data))
            assert list(state.data) == ["sure", "planner.why"][:len(state.data)]
        return action
    return actions.noop()
"""
)
LOOKED_UP = (
    Message(role="user", content="QKX482"),
    Message(
        role="assistant", tool_calls=(ToolCall(id="c1", function=FunctionCall("look_up", "{}")),)
    ),
    Message(role="tool", tool_call_id="c1", content=json.dumps({"id": "QKX482"})),
)


def test_a_custom_state_is_accessible_by_private_names(load):
    definition = load(STATEFUL)

    for _ in range(2):
        played = play(definition, says="y late </why>", messages=LOOKED_UP)
        assert played.text == 'look_up {"id": "QKX482"}: late'


def test_the_state_of_a_finished_request_is_dropped(load):
    definition = load(IMPORTS + SURE + "sure.on('yes', 'Done.')\n" + HANDLED)
    engine = definition.target.__wrapped__.__globals__["ENGINE"]
    request_id = play(definition, says="y").request_id
    gc.collect()

    assert engine._states.get(request_id) is None
    assert request_id not in engine._states
    with pytest.raises(KeyError, match=request_id):
        engine._states[request_id]


def test_a_summary_route_uses_the_definition_of_its_question(load):
    definition = load(
        IMPORTS
        + SURE
        + """
sure.then(route_summary())
flows = {"all": FlowDefinition("all", sure, lambda state: "You said " + state.answers["sure"])}
ENGINE = FlowEngine(entry_question=sure, flows=flows)

@mod
def flow(event, actions, tokenizer):
    return ENGINE.handle_event(event, actions, tokenizer)
"""
    )

    assert play(definition, says="n").text == "You said no"


def test_flow_runs_in_the_engine(load):
    routes = "sure.then(route_tool(lambda actions, state, tokenizer: actions.tool_calls(payload={"
    payload = "'id': 'c1', 'type': 'function', 'function': {'name': 'f', 'arguments': '{}'}})))"
    definition = load(IMPORTS + SURE + routes + payload + HANDLED)
    answers = run(make_engine(), *(ask("Hello", call(definition)) for _ in range(3)))

    assert [a.end.tool_calls[0].function.name for a in answers] == ["f"] * 3
