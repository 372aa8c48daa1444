"""Flows: graphs of questions to the model, with routes that depend on its answers.

    from concordance_sdk.flow import FlowEngine, FlowQuestion, route_message

Each question is a self-prompt. Its answer is kept in the request's state, passed to the author's
functions, and leads to the next question, to a text, to a tool call, or out of the flow.
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
from concordance_sdk.flow.run import DefaultState, FlowState

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
