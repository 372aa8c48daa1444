"""The conversation of the request that a mod is being called for."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from concordance_shared import Conversation, Message, Schemas, ToolCall

from concordance_sdk.request_context import RequestContext, current_request


@contextmanager
def conversation_of(conversation: Conversation) -> Generator[None]:
    """Make `conversation` the current one for the calls inside, as a host does for each mod.

    Examples:
        >>> conversation = Conversation(messages=(Message(role="user", content="Hi"),))
        >>> with conversation_of(conversation):
        ...     get_conversation()[-1].text
        'Hi'
    """
    with RequestContext(conversation).entered():
        yield


def get_conversation() -> tuple[Message, ...]:
    """The messages of the current request, oldest first.

    A chat request has at least one. A prompt that is not a conversation has none, as in
    `LLM.generate("Once upon a time")` and `concordance generate --raw`.

    Raises:
        RuntimeError: Called outside of a mod's handler.

    Examples:
        >>> from concordance_sdk import Prefilled, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Prefilled])
        ... def shout(event, actions, tokenizer):
        ...     if messages := get_conversation():
        ...         return actions.force_output(tokenizer.encode(messages[-1].text.upper()))
        >>> play(shout, says="", messages=[Message(role="user", content="hi")]).text
        'HI'
    """
    return _required().messages


def get_schemas() -> Schemas:
    """The tools and the response format of the current request.

    Raises:
        RuntimeError: Called outside of a mod's handler.

    Examples:
        >>> from concordance_sdk import Prefilled, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Prefilled])
        ... def how_many(event, actions, tokenizer):
        ...     return actions.force_output(tokenizer.encode(f"{len(get_schemas().tools)} tools"))
        >>> play(how_many, says="").text
        '0 tools'
    """
    return _required().schemas


def tool_call_pairs(
    messages: Sequence[Message] | None = None,
) -> list[tuple[ToolCall, Message | None]]:
    """Pair the tool calls of a conversation with their results, `None` where there is none.

    Args:
        messages: The conversation; the current request's by default.

    Raises:
        RuntimeError: Called without messages outside of a mod's handler.

    Examples:
        >>> from concordance_shared import FunctionCall
        >>> call = ToolCall(id="call_1", function=FunctionCall("search"))
        >>> request = Message(role="assistant", tool_calls=(call,))
        >>> result = Message(role="tool", tool_call_id="call_1", content="42 results")
        >>> [(call.id, result.text) for call, result in tool_call_pairs([request, result])]
        [('call_1', '42 results')]
        >>> tool_call_pairs([request])[0][1] is None
        True
    """
    messages = get_conversation() if messages is None else messages
    results = {m.tool_call_id: m for m in messages if m.role == "tool" and m.tool_call_id}
    calls = [call for message in messages for call in message.tool_calls or ()]
    return [(call, results.get(call.id)) for call in calls]


def _required() -> Conversation:
    request = current_request()
    if request is None:
        raise RuntimeError(
            "there is no current request: call this inside a mod's handler, "
            "or in a test inside `conversation_of(...)`"
        )
    return request.conversation
