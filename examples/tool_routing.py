"""Let the model choose one of the tools of the request, or none, and write its arguments.

Run it with a scripted model, and with a real one:

    uv run python examples/tool_routing.py
    uv run concordance generate "How is the weather in Paris?" --mods examples/tool_routing.py \
        --mod tool_router
"""

from concordance_sdk import FunctionSchema, get_schemas, mod
from concordance_sdk.constraints import ChoicesStrat, JsonSchema
from concordance_sdk.testing import play

CITY = {"type": "string", "pattern": "^[A-Z][a-z ]{1,30}$"}
WEATHER = FunctionSchema(  # for requests without tools of their own
    name="weather",
    parameters={"properties": {"city": CITY}, "required": ["city"], "additionalProperties": False},
)


@mod
def tool_router(run):
    """Calls a tool if one is needed; otherwise the model replies freely."""
    functions = {tool.function.name: tool.function for tool in get_schemas().tools}
    functions = functions or {WEATHER.name: WEATHER}
    name = yield run.ask("The tool to call:\n", ChoicesStrat([*functions, "none"]))
    if name not in functions:  # "none", or the token budget has no room for the question
        return
    schema = JsonSchema({"type": "object", **(functions[name].parameters or {})})
    arguments = yield run.ask(f"The arguments of {name}:\n", schema)
    if arguments.ended_by == "constraint":  # complete
        yield run.tool_call(name, **arguments.value)


if __name__ == "__main__":
    for call in play(tool_router, says='wParis"').tool_calls:  # the tool's first letter, the city
        print(call.function.name, call.function.arguments)
    print(play(tool_router, says="nHello!").text)
