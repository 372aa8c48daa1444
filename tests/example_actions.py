"""A valid instance of every action class, built from the types of its fields.

Tests that run over `ACTIONS` use it, so that a new action needs no change in them.
"""

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, get_args

from concordance_shared import Action, FunctionCall, ToolCall
from msgspec.structs import fields

CALL = ToolCall(id="call_1", function=FunctionCall("look_up", "{}"))

_VALUES = {
    int: 1,
    float: 0.5,
    str: "a",
    Sequence[int]: [1],
    Mapping[int, float]: {1: 0.5},
    Mapping[str, Any]: {"a": 1},
    Sequence[ToolCall]: [CALL],
}


def example_action(action: type[Action]) -> Action:
    """An instance with a value in each field whose type has an example."""
    values = {}
    for field in fields(action):
        options = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
        if known := [_VALUES[option] for option in options if option in _VALUES]:
            values[field.name] = known[0]
    return action(**values)
