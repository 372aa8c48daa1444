"""Flows: questions that the model is asked one after the other, and where its answers lead.

    from concordance_sdk.flow import FlowEngine, FlowQuestion, route_message

Each question is a self-prompt. Its answer is kept in the request's state, handed to the author's
functions, and leads to the next question, to a text, to a call of a tool, or out of the flow.
"""

from concordance_sdk.flow.definition import FlowDefinition
from concordance_sdk.flow.engine import FlowEngine
from concordance_sdk.flow.question import FlowQuestion
from concordance_sdk.flow.routes import (
    FlowRoute,
    RouteKind,
    RouteTarget,
    route_message,
    route_noop,
    route_output,
    route_question,
    route_summary,
    route_tool,
)
from concordance_sdk.flow.state import DefaultState, FlowState

__all__ = [
    "DefaultState",
    "FlowDefinition",
    "FlowEngine",
    "FlowQuestion",
    "FlowRoute",
    "FlowState",
    "RouteKind",
    "RouteTarget",
    "route_message",
    "route_noop",
    "route_output",
    "route_question",
    "route_summary",
    "route_tool",
]
