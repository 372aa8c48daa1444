"""Sends the reasoning of a message where a request wants it."""

from collections.abc import Iterator
from typing import Literal

from concordance_inference.chat.message_parts import MessagePart, ReasoningText

#: Where the reasoning of a message is sent: apart from the content; apart, as one text once it
#: has ended; nowhere; or in the content with its tags, as the model wrote it.
ReasoningPlace = Literal["apart", "apart at once", "nowhere", "content"]


class PlacedReasoning:
    """The parts of a message that have its reasoning, unless that is sent in the content."""

    def __init__(self, place: ReasoningPlace) -> None:
        """Start without reasoning.

        Args:
            place: Where it is sent.
        """
        self._place = place
        self._unsent: list[str] = []  # text of a reasoning that is sent at once

    def add(self, text: str) -> Iterator[MessagePart]:
        """Return the parts that more text adds."""
        if self._place == "apart":
            yield ReasoningText(text)
        elif self._place == "apart at once":
            self._unsent.append(text)

    def end(self) -> Iterator[MessagePart]:
        """Return the whole reasoning, if it is sent at once and was not sent yet."""
        if self._unsent:
            yield ReasoningText("".join(self._unsent))
            self._unsent.clear()
