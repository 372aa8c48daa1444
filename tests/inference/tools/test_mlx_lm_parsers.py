"""Calls in our layouts, as the parsers of mlx-lm read them."""

import importlib
import json

import pytest
from concordance_inference.chat.message_parts import joined
from concordance_inference.generation import TextDelta
from concordance_inference.tools.call_grammar import CallGrammar
from concordance_inference.tools.call_reader import CallReader
from concordance_inference.tools.layouts import LAYOUTS
from concordance_inference.tools.offer import AUTO, tool_offer
from concordance_inference.tools.tool_format import ToolFormat
from concordance_sdk.constraints import allows
from concordance_shared import FunctionSchema, Tool
from fake_engine import completed

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "wet": {"type": "boolean"},
    },
}
ARGUMENTS = {"city": "Bad Ems, a \u00e9", "days": 3, "wet": True}
TOOL = Tool(function=FunctionSchema(name="weather", parameters=PARAMETERS))
PARSERS = {
    "json_tools": "json_tools",
    "mistral_list": "mistral",
    "mistral_spaced_list": "mistral",
    "mistral": "mistral",
    "kimi_k2": "kimi_k2",
    "kimi_k3": "kimi_k3",
    "qwen3_coder": "qwen3_coder",
    "minimax_m2": "minimax_m2",
    "glm45": "glm47",
    "glm47": "glm47",
    "longcat": "longcat",
    "minicpm5": "minicpm5",
    "muse_spark": "muse_spark",
    "function_gemma": "function_gemma",
    "gemma4": "gemma4",
    "pythonic": "pythonic",
}


def call_of(layout):
    """Return a call in a layout."""
    keyed, own_id = layout.keyed, layout.id
    if keyed is None:
        body = json.dumps(ARGUMENTS, ensure_ascii=False)
    else:
        quote = '"' if keyed.quote is None else keyed.quote
        values = [f"{quote}{ARGUMENTS['city']}{quote}", "3", "true"]
        body = keyed.separator.join(
            f"{keyed.before_key}{key}{keyed.after_key}{value}{keyed.after_value}"
            for key, value in zip(ARGUMENTS, values, strict=True)
        )
    call_id = f"{own_id.before}1" if own_id else ""
    before = f"{layout.marker}{layout.head}weather{call_id}{layout.after_name}"
    return f"{before}{body}{layout.tail}{layout.close}"


@pytest.mark.parametrize("name", PARSERS)
def test_mlx_lm_reads_the_same_call(name):
    layout, parser = LAYOUTS[name], importlib.import_module(f"mlx_lm.tool_parsers.{PARSERS[name]}")
    offer = tool_offer([TOOL], AUTO, ToolFormat(name=name, layout=layout))
    text = call_of(layout)
    reader = CallReader(offer)
    message = joined([*reader.add(TextDelta(text=text)), *reader.end(completed(text))])
    inner = text.removeprefix(parser.tool_call_start)
    inner = inner.removesuffix(parser.tool_call_end) if parser.tool_call_end else inner
    tool = {"function": {"name": "weather", "parameters": PARAMETERS}}
    found = parser.parse_tool_call(inner, [tool])
    found = found[0] if isinstance(found, list) else found

    assert allows(CallGrammar(offer), text)
    assert [call.function.name for call in message.tool_calls] == ["weather"] == [found["name"]]
    assert json.loads(message.tool_calls[0].function.arguments) == ARGUMENTS == found["arguments"]
