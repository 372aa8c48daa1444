"""Functions of a flow: their arguments are checked where the flow is defined."""

from dataclasses import dataclass, field

import pytest
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.flow import FlowDefinition, FlowEngine, FlowQuestion, route_tool
from concordance_shared import FlowError


def ask(name):
    return FlowQuestion(name, f"{name}? ", ChoicesStrat(["yes", "no"]))


@dataclass
class Booking:
    request_id: str
    answers: dict = field(default_factory=dict)


async def later(*arguments): ...


@pytest.mark.parametrize(
    ("define", "message"),
    [
        (
            lambda: route_tool(lambda actions: None),
            "route_tool takes a function of (actions, state, tokenizer); <lambda> takes (actions)",
        ),
        (lambda: route_tool(lambda a, s, t, more: None), "takes (a, s, t, more)"),
        (lambda: route_tool(later), "not an async or a generator"),
        (lambda: ask("A").then(lambda: "x"), "FlowQuestion('A') takes a function of (state)"),
        (lambda: ask("A").on("no", lambda a, b: "x"), "('A') on 'no' takes a function of (state)"),
        (lambda: ask("A").branch(lambda: None), "('A').branch takes a function of (state); <lam"),
        (
            lambda: ask("A").assign(lambda answer: None),
            "FlowQuestion('A').assign takes a function of (state, answer); <lambda> takes (answer)",
        ),
        (lambda: ask("A").with_auto_answer(lambda: None), ".with_auto_answer takes a function of"),
        (lambda: FlowDefinition("d", ask("A"), lambda: ""), "FlowDefinition 'd' takes a function"),
        (
            lambda: FlowEngine(entry_question=ask("A"), state_factory=lambda: None),
            "the state_factory of a FlowEngine takes a function of (request_id)",
        ),
        (
            lambda: FlowEngine(entry_question=ask("A"), state_factory=Booking("r")),
            "takes a function of (request_id), not Booking(",
        ),
    ],
)
def test_a_function_with_wrong_arguments_is_rejected_where_it_is_given(define, message):
    with pytest.raises(FlowError) as refused:
        define()

    assert message in refused.value.message


def test_functions_may_have_defaults_be_methods_or_classes():
    class Desk:
        def call(self, actions, state, tokenizer, *, city="Rome"): ...

    route_tool(Desk().call)
    route_tool(lambda *arguments: None)
    ask("A").assign(print).then(str)
    FlowEngine(entry_question=ask("A"), state_factory=Booking)
