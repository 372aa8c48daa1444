"""What of a self-prompt is taken back when it is answered."""

from enum import StrEnum


class EraseMode(StrEnum):
    """What is taken back, from the text and from the model's context, once there is an answer.

    Example:
        >>> EraseMode("all") is EraseMode.ALL
        True
    """

    NONE = "none"  # nothing
    PROMPT = "prompt"  # the prompt; the answer and its completion stay
    ALL = "all"  # prompt, answer and completion
