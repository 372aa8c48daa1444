"""The field `tool_choice`, in every shape."""

import pytest
from concordance_inference.tools.choice import tool_choice
from concordance_inference.tools.offer import ToolChoice
from concordance_shared import InvalidRequestError


def chosen(value, *, has_tools=True, parallel=None):
    return tool_choice(value, has_tools=has_tools, parallel=parallel)


def test_the_default_is_auto_where_there_are_tools_and_none_elsewhere():
    assert chosen(None).mode == "auto"
    assert chosen(None, has_tools=False).mode == "none"


@pytest.mark.parametrize(
    ("value", "mode"),
    [("none", "none"), ("auto", "auto"), ("required", "required"), ("any", "required")],
)
@pytest.mark.parametrize(("parallel", "is_parallel"), [(None, True), (True, True), (False, False)])
def test_modes_are_words(value, mode, parallel, is_parallel):
    found = chosen(value, parallel=parallel)

    assert (found.mode, found.names, found.is_parallel) == (mode, None, is_parallel)


@pytest.mark.parametrize(
    "value",
    [
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "name": "f"},
    ],
)
@pytest.mark.parametrize("parallel", [None, True, False])
def test_a_named_function_is_called_once(value, parallel):
    assert chosen(value, parallel=parallel) == ToolChoice(
        mode="required", names=("f",), is_parallel=False, param="tool_choice"
    )


@pytest.mark.parametrize("mode", ["auto", "required"])
@pytest.mark.parametrize("is_nested", [True, False])
def test_allowed_tools_are_those_that_may_be_called(mode, is_nested):
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "g"}]
    inner = {"mode": mode, "tools": tools}
    value = {"type": "allowed_tools", **({"allowed_tools": inner} if is_nested else inner)}

    found = chosen(value)
    assert (found.mode, found.names, found.is_parallel) == (mode, ("f", "g"), True)


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("sometimes", "tool_choice"),
        (3, "tool_choice"),
        ([], "tool_choice"),
        ({}, "tool_choice"),
        ({"type": "custom", "name": "f"}, "tool_choice"),
        ({"type": "function"}, "tool_choice"),
        ({"type": "function", "function": {"name": 3}}, "tool_choice"),
        ({"type": "allowed_tools"}, "tool_choice"),
        ({"type": "allowed_tools", "tools": []}, "tool_choice.tools"),
        (
            {"type": "allowed_tools", "allowed_tools": {"tools": []}},
            "tool_choice.allowed_tools.tools",
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"tools": [{"type": "function"}]}},
            "tool_choice.allowed_tools.tools[0]",
        ),
        ({"type": "allowed_tools", "mode": "none", "tools": [{"name": "f"}]}, "tool_choice"),
    ],
)
def test_other_shapes_are_refused_with_the_place(value, param):
    with pytest.raises(InvalidRequestError) as error:
        chosen(value)
    assert error.value.param == param
    assert str(error.value).startswith(param)
