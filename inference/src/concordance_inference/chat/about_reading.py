"""What a response says of how its message was read."""

from typing import Any

from concordance_inference.chat.message_reader import MessageReader
from concordance_inference.chat.resumed_reader import ResumedReader
from concordance_inference.chat.truncated_reader import TruncatedReader


def about_reading(reader: MessageReader) -> dict[str, Any]:
    """Return fields of `concordance`, once a message was read to its end.

    `truncated` has the characters that were not shown, and `replaced` those at the end of an
    earlier response that the message replaces.
    """
    about: dict[str, Any] = {}
    while isinstance(reader, TruncatedReader | ResumedReader):
        about |= reader.about()
        reader = reader.inner
    return about


def has_earlier_calls(reader: MessageReader) -> bool:
    """True if an earlier response has complete calls of the message, which ends to make them."""
    if isinstance(reader, TruncatedReader):
        reader = reader.inner
    return isinstance(reader, ResumedReader) and reader.has_earlier_calls
