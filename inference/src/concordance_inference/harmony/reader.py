"""Reads the messages of a Harmony completion while it is generated.

<|channel|>analysis<|message|>They ask for ...<|end|>                            reasoning
<|start|>assistant<|channel|>commentary<|message|>I look it up.<|end|>           content
<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>
<|channel|>final<|message|>It is ...<|return|>                                   content
"""

from collections.abc import Iterator, Sequence

import msgspec
from concordance_shared import FinishReason

from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallCut,
    CallEnded,
    ContentText,
    MessagePart,
)
from concordance_inference.chat.message_reader import calls_of_mods
from concordance_inference.chat.placed_reasoning import PlacedReasoning, ReasoningPlace
from concordance_inference.generation import Completed, TextDelta
from concordance_inference.harmony.message_kind import MessageKind, called_tool, kind_of
from concordance_inference.harmony.place import MAX_HEADER, Place, after_text, after_token
from concordance_inference.harmony.turn import HarmonyTurn
from concordance_inference.tools.call_reader import new_call_id
from concordance_inference.tools.offer import ToolOffer

#: Between two messages that are both content, or both reasoning.
SEPARATOR = "\n\n"

_SPACE = " \t\n\r\v\f"


class HarmonyReader:
    """Splits a completion into reasoning, content, and calls by the headers of its messages.

    Nothing is an error: what cannot be read as a header is content.
    """

    def __init__(
        self, turn: HarmonyTurn, offer: ToolOffer | None, place: ReasoningPlace = "apart"
    ) -> None:
        """Read a completion.

        Args:
            turn: Where the completion begins.
            offer: The tools that it may call.
            place: Where the reasoning is sent.
        """
        self._tokens = turn.tokens
        self._opened: Place | None = turn.opened  # until the first text
        self._at = Place()
        self._offer = offer
        self._reasoning = PlacedReasoning(place)
        self._sends_raw = place == "content"
        self._raw = ""  # what is between messages, as the model wrote it
        self._kind: MessageKind = "content"  # of the current message
        self._separator = ""  # before more of its text
        self._has_text: set[MessageKind] = set(turn.has_text)
        self._arguments: list[str] = []  # of the current call
        self._num_calls = 0

    def add(self, delta: TextDelta) -> Sequence[MessagePart]:
        """Return the parts that more text adds."""
        if not delta.marks and self._at.kind == "content":  # nearly always
            return self._text(delta.text)
        return list(self._parts(delta))

    def end(self, completed: Completed) -> Sequence[MessagePart]:
        """Return the rest of the message, and the calls that mods made."""
        parts = [*self._begin(), *self._rest(completed), *self._reasoning.end()]
        return [*parts, *calls_of_mods(completed.tool_calls, self._num_calls)]

    def _parts(self, delta: TextDelta) -> Iterator[MessagePart]:
        yield from self._begin()
        begin = 0
        for mark in delta.marks:
            yield from self._plain(delta.text[begin : mark.begin])
            place = after_token(self._at, mark.token_id, self._tokens)
            yield from self._move(place, delta.text[mark.begin : mark.end])
            begin = mark.end
        yield from self._plain(delta.text[begin:])

    def _begin(self) -> Iterator[MessagePart]:
        """The message within which the completion begins, if it does."""
        opened, self._opened = self._opened, None
        if opened is None:
            return
        self._at = opened
        if opened.kind == "content":
            yield from self._message(msgspec.structs.replace(opened, salvaged=""))

    def _plain(self, text: str) -> Iterator[MessagePart]:
        """Text between structural tokens: of a header, or of a message."""
        if text and self._at.kind != "content":
            written = _of_header(text, self._at)
            place = after_text(self._at, written.encode(errors="replace"), self._tokens)
            yield from self._move(place, written)
            text = text[len(written) :]
        if text:
            yield from self._text(text)

    def _move(self, place: Place, written: str) -> Iterator[MessagePart]:
        """Go to the place after a structural token or text of a header."""
        before, self._at = self._at, place
        is_within = before.kind == "content"
        if self._sends_raw and not is_within:
            self._raw += written
        elif self._sends_raw and self._kind != "call" and written:
            yield ContentText(written)
        if place is before:  # a token that has no meaning there
            return
        if is_within:
            yield from self._close()
        if place.num_messages > before.num_messages:
            yield from self._message(place)
            if place.kind != "content":
                yield from self._close()

    def _message(self, place: Place) -> Iterator[MessagePart]:
        """The beginning of a message."""
        self._kind = kind = kind_of(place.header, self._offer)
        self._separator = SEPARATOR if kind in self._has_text else ""
        if kind != "reasoning":
            yield from self._reasoning.end()
        raw, self._raw = self._raw, ""
        if kind == "call":
            self._arguments.clear()
            name = called_tool(place.header, self._offer) or ""
            yield CallBegun(self._num_calls, new_call_id(), name)
        elif raw:
            yield ContentText(raw)
            return
        if place.salvaged:
            yield from self._text(place.salvaged)

    def _text(self, text: str) -> Sequence[MessagePart]:
        """Text of the current message."""
        kind = self._kind
        if kind == "call":
            self._arguments.append(text)
            return (CallArguments(self._num_calls, text),)
        if self._sends_raw:
            return (ContentText(text),)
        if kind == "other":
            return ()
        if self._separator:
            text, self._separator = self._separator + text, ""
        self._has_text.add(kind)
        return tuple(self._reasoning.add(text)) if kind == "reasoning" else (ContentText(text),)

    def _close(self) -> Iterator[MessagePart]:
        """The end of the current message."""
        if self._kind == "call":
            yield CallEnded(self._num_calls)
            self._num_calls += 1

    def _rest(self, completed: Completed) -> Iterator[MessagePart]:
        """What ends with the completion."""
        is_call = self._at.kind == "content" and self._kind == "call"
        if not self._is_cut(completed) or _is_only_text(self._at):
            place = after_token(self._at, self._tokens.return_, self._tokens)
            yield from self._move(place, "")
        elif is_call:
            only_calls = self._num_calls > 0 or bool(self._offer and self._offer.is_required)
            yield CallCut(self._num_calls, "" if only_calls else "".join(self._arguments))
            self._num_calls += 1
        if self._raw:
            yield ContentText(self._raw)

    def _is_cut(self, completed: Completed) -> bool:
        """True if a completion ended elsewhere than where the model ends a message."""
        ended = completed.finish_reason in (FinishReason.STOP, FinishReason.TOOL_CALLS)
        return not ended or completed.stopped_by not in (None, *self._tokens.closing)


def _of_header(text: str, place: Place) -> str:
    """The beginning of a text that is part of a header: all of it, or what a header may have."""
    begin = len(text) - len(text.lstrip(_SPACE)) if place.kind == "between" else 0
    length = sum(len(part) for part in place.written if isinstance(part, bytes))
    if length + 4 * len(text) <= MAX_HEADER:  # nearly always; 4 bytes are the longest character
        return text
    for i in range(begin, len(text)):
        length += len(text[i].encode(errors="replace"))
        if length > MAX_HEADER:
            return text[: i + 1]
    return text


def _is_only_text(place: Place) -> bool:
    """True if what is written of a header has nothing of one: it is content without a header.

    The beginning of a recipient, such as ` t`, is of a header.
    """
    text = b"".join(part for part in place.written if isinstance(part, bytes))
    is_text = all(isinstance(part, bytes) for part in place.written)
    has_header = place.names_role or b" to=".startswith(text)
    return place.kind == "header" and is_text and not has_header
