"""Have the model choose a tool, and call it with the user's question."""

from concordance_sdk import get_conversation, mod
from concordance_sdk.constraints import ChoicesStrat


@mod
def router(run, tools: tuple[str, ...] = ("calculator", "search")):
    """Asks for the tool in a question that is erased, and ends with the call."""
    tool = yield run.ask("The best tool for this question:\n", ChoicesStrat(tools))
    messages = get_conversation()  # none for a prompt without a chat
    if tool in tools:  # the token budget had room for the question
        yield run.tool_call(tool, query=messages[-1].text if messages else "")
