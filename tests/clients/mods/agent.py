"""A model that behaves as one that calls tools: it calls the first tool, then quotes the result."""

from concordance_sdk import ForwardPass, get_conversation, get_schemas, mod


@mod
def agent(event, actions, tokenizer):
    """Call the first tool, or after a tool's result, say what it is."""
    if not isinstance(event, ForwardPass):
        return None
    last = get_conversation()[-1]
    if last.role == "tool":
        return actions.force_output(tokenizer.encode(f"The tool says: {last.text}"))
    tools = get_schemas().tools
    if not tools:
        return actions.force_output(tokenizer.encode("There is no tool."))
    name = tools[0].function.name
    return actions.tool_calls({"name": name, "arguments": {"city": "Paris"}})
