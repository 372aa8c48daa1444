"""Why a request ended."""

from enum import StrEnum


class FinishReason(StrEnum):
    """Why a request ended; the first three are OpenAI's words and go over the wire.

    Attributes:
        STOP: By an end-of-sequence token, a stop string, or a mod's `ForceOutput`.
        LENGTH: The budget of tokens is spent.
        TOOL_CALLS: By a mod's `ToolCalls`.
        ERROR: By an error.
        CANCELLED: The client went away.

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
