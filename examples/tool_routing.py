"""Let the model choose one of the tools of the request, or none, and write its arguments.

Run it with a scripted model, and with a real one:

    uv run python examples/tool_routing.py
    uv run concordance generate "How is the weather in Paris?" --mods examples/tool_routing.py \
        --mod tool_router
"""

from concordance_sdk import FunctionSchema, get_schemas, mod
from concordance_sdk.constraints import ChoicesStrat, JsonSchema
from concordance_sdk.flow import FlowEngine, FlowQuestion, route_tool
from concordance_sdk.testing import play

CITY = {"type": "string", "pattern": "^[A-Z][a-z ]{1,30}$"}
WEATHER = FunctionSchema(  # for requests without tools of their own
    name="weather",
    parameters={"properties": {"city": CITY}, "required": ["city"], "additionalProperties": False},
)


def arguments_of(function):
    """The question for a tool's arguments; its answer follows the tool's own schema."""
    schema = JsonSchema({"type": "object", **(function.parameters or {})})
    question = FlowQuestion(function.name, f" {function.name} with ", schema, erase="all")

    def call(actions, state, _tokenizer):
        return actions.tool_calls(
            {"name": function.name, "arguments": state.answers[function.name]}
        )

    return question.then(route_tool(call))


@mod(max_backtrack=None)
class ToolRouter:
    """Calls a tool if one is needed; otherwise the model replies freely."""

    def __init__(self):
        """Make a flow of this request's tools."""
        functions = [tool.function for tool in get_schemas().tools] or [WEATHER]
        names = ChoicesStrat([*(function.name for function in functions), "none"])
        which = FlowQuestion("which", " The tool to call: ", names, erase="all")
        for function in functions:
            which.on(function.name, arguments_of(function))
        self.flow = FlowEngine(entry_question=which)

    def parts(self):
        """The flow, which asks for the tool and its arguments."""
        return [self.flow]


if __name__ == "__main__":
    for call in play(ToolRouter, says='wParis"').tool_calls:  # the tool's first letter, the city
        print(call.function.name, call.function.arguments)
    print(play(ToolRouter, says="nHello!").text)
