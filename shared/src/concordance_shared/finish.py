"""Why a request ended."""

from enum import StrEnum


class FinishReason(StrEnum):
    """Why a request ended; the first three are OpenAI's words and go over the wire."""

    STOP = "stop"  # an end-of-sequence token, a stop string, or a mod's `ForceOutput`
    LENGTH = "length"  # the budget of tokens is spent
    TOOL_CALLS = "tool_calls"
    ERROR = "error"
    CANCELLED = "cancelled"  # the client went away
