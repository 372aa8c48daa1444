"""What of a self-prompt is taken back when it is answered."""

from enum import StrEnum
from typing import NoReturn


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

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        known = ", ".join(repr(mode.value) for mode in cls)
        raise ValueError(f"what is erased of a self-prompt is one of {known}, not {value!r:.60}")
