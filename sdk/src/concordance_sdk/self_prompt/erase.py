"""What of a self-prompt is taken back when it is answered."""

from enum import StrEnum


class EraseMode(StrEnum):
    """What is taken back, from the text and from the model's context, once there is an answer.

    Attributes:
        NONE: Nothing.
        PROMPT: The prompt; the answer and its completion stay.
        ALL: Prompt, answer and completion.

    Examples:
        >>> EraseMode("all") is EraseMode.ALL
        True
    """

    NONE = "none"
    PROMPT = "prompt"
    ALL = "all"
