"""The reason why a request ended."""

from enum import StrEnum


class FinishReason(StrEnum):
    """The reason why a request ended. OpenAI defines the first three; responses contain them.

    Attributes:
        STOP: An end-of-sequence token, a stop string, or a mod's `ForceOutput`.
        LENGTH: The limit on completion tokens.
        TOOL_CALLS: A mod's `ToolCalls`.
        ERROR: An error.
        CANCELLED: The client disconnected, or the request was cancelled through the API. A mod that
            is removed from a running request sees it in `Finished`.

    Examples:
        >>> from concordance_sdk.testing import play
        >>> play(says="abc", max_tokens=2).finish_reason is FinishReason.LENGTH
        True
        >>> FinishReason.LENGTH == "length"
        True
    """

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    ERROR = "error"
    CANCELLED = "cancelled"
