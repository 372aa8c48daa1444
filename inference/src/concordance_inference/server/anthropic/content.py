"""The parts of a message as Anthropic's blocks of content, in events and whole."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallCut,
    CallEnded,
    ContentText,
    MessagePart,
    ReasoningText,
)
from concordance_inference.server.responses.encrypted_content import encoded_reasoning

Event = dict[str, Any]


class ContentBlocks:
    """Turns the parts of a message into the events of its blocks.

    A text that is only white space is no block.

    Attributes:
        has_calls: There is a call that is complete.
    """

    def __init__(self, *, omits_thinking: bool = False) -> None:
        """Begin before the first block.

        Args:
            omits_thinking: Blocks of thinking have no text.
        """
        self.has_calls = False
        self._omits_thinking = omits_thinking
        self._index = -1  # of the block that was begun last
        self._kind: str | None = None  # of the block that is open
        self._space: list[str] = []  # before a text
        self._thoughts: list[str] = []  # of the block of thinking

    def events(self, parts: Iterable[MessagePart]) -> Iterator[Event]:
        """The events that parts add."""
        for part in parts:
            match part:
                case ReasoningText():
                    yield from self._thinking(part.text)
                case ContentText():
                    yield from self._text(part.text)
                case CallBegun():
                    call = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
                    yield from self._begin("tool_use", call)
                case CallArguments():
                    if part.text:
                        yield self._delta("input_json_delta", partial_json=part.text)
                case CallEnded():
                    self.has_calls = True
                    yield from self.end()
                case CallCut():
                    yield from self.end()

    def end(self) -> Iterator[Event]:
        """The events that end the block that is open."""
        if self._kind == "thinking":
            yield self._delta("signature_delta", signature=self._signature())
        if self._kind is not None:
            yield {"type": "content_block_stop", "index": self._index}
        self._kind = None
        self._space.clear()

    def _thinking(self, text: str) -> Iterator[Event]:
        if self._kind != "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            yield from self._begin("thinking", empty)
            self._thoughts.clear()
        self._thoughts.append(text)
        if not self._omits_thinking:
            yield self._delta("thinking_delta", thinking=text)

    def _signature(self) -> str:
        """A hash of the thinking; the thinking itself if clients do not see it otherwise."""
        text = "".join(self._thoughts)
        if self._omits_thinking:
            return encoded_reasoning(text)
        return hashlib.sha256(text.encode()).hexdigest()

    def _text(self, text: str) -> Iterator[Event]:
        if self._kind != "text":
            self._space.append(text)
            if not text.strip():
                return
            text = "".join(self._space)
            yield from self._begin("text", {"type": "text", "text": ""})
        yield self._delta("text_delta", text=text)

    def _begin(self, kind: str, block: Event) -> Iterator[Event]:
        yield from self.end()
        self._kind = kind
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, kind: str, **fields: str) -> Event:
        delta = {"type": kind, **fields}
        return {"type": "content_block_delta", "index": self._index, "delta": delta}


def content_of(events: Iterable[Event]) -> list[Event]:
    """Return the blocks that events make, as clients join them."""
    blocks: list[Event] = []
    texts: list[list[str]] = []
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
            texts.append([])
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "signature_delta":
                blocks[-1]["signature"] = delta["signature"]
            else:
                texts[-1] += [value for name, value in delta.items() if name != "type"]
    for block, pieces in zip(blocks, texts, strict=True):
        kind, text = block["type"], "".join(pieces)
        if kind == "tool_use":
            block["input"] = msgspec.json.decode(text or "{}")
        else:
            block[kind] = text
    return blocks


def without_cut(parts: Sequence[MessagePart]) -> list[MessagePart]:
    """Return the parts of a whole message, with the text of a call that was cut as content."""
    cut = {part.index for part in parts if isinstance(part, CallCut)}
    kept: list[MessagePart] = []
    for part in parts:
        if isinstance(part, CallCut):
            kept.append(ContentText(part.text))
        elif not (isinstance(part, CallBegun | CallArguments) and part.index in cut):
            kept.append(part)
    return kept
