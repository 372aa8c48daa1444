"""Reads the calls of tools in the text of a completion, while it is generated."""

import re
import uuid
from collections.abc import Generator, Sequence

from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallCut,
    CallEnded,
    ContentText,
    MessagePart,
)
from concordance_inference.chat.message_reader import calls_of_mods
from concordance_inference.generation import Completed, TextDelta
from concordance_inference.tools.json_scan import JsonScan
from concordance_inference.tools.keyed_reader import KeyedText, NotKeyedError, kinds_of
from concordance_inference.tools.marker import find_marker, num_open
from concordance_inference.tools.offer import MAX_NAME, ToolOffer

_NAME = re.compile(r"[A-Za-z0-9_./-]+")
_ID = re.compile(r"[A-Za-z0-9]+")

#: The text of the bytes of an incomplete character.
_HALF = "\ufffd"

#: Parts that the text adds; `None` where more text is needed.
_Steps = Generator[MessagePart | None]


class BrokenCallError(Exception):
    """A text after a marker is not a call of the format."""


class CallReader:
    """Splits the text of a completion into content and calls.

    A name is reported when it is complete; arguments that are JSON, as they come; others, when the
    call is complete. Space before a marker is no content. After a marker, what does not follow the
    format is content if no call was reported, and otherwise cuts the call.

    A completion that ends within a call leaves no content where only calls are allowed: if the
    request must call, or after a complete call.
    """

    def __init__(self, offer: ToolOffer) -> None:
        """Read calls of the offered tools."""
        self._offer = offer
        self._layout = offer.format.layout
        self._text = ""  # that was not read
        self._half = ""  # follows it: a character that may not be complete
        self._call = ""  # the text of the current call, as far as it was read
        self._num_begun = 0  # calls
        self._num_ended = 0
        self._is_broken = False  # the text does not follow the format
        self._ids: set[str] = set()  # that the model wrote
        self._steps = self._message()

    @property
    def has_marker(self) -> bool:
        """True if the marker that opens calls was read."""
        return bool(self._call) or self._num_begun > 0

    def add(self, delta: TextDelta) -> Sequence[MessagePart]:
        """Return the parts that more text adds."""
        text = self._half + delta.text
        whole = text.rstrip(_HALF)
        self._text, self._half = self._text + whole, text[len(whole) :]
        parts: list[MessagePart] = []
        for part in self._steps:
            if part is None:
                break
            parts.append(part)
        return parts

    def end(self, completed: Completed) -> Sequence[MessagePart]:
        """Return what was held back, and the calls that mods made."""
        return [*self._rest(), *calls_of_mods(completed.tool_calls, self._num_begun)]

    def _rest(self) -> Sequence[MessagePart]:
        """What was held back: content, or the beginning of a call."""
        text = self._call + self._text + self._half
        if self._num_begun > self._num_ended or (self._call and not self._is_broken):
            return [CallCut(self._num_ended, text if self._may_be_text else "")]
        if not self._is_broken and not self._may_be_text and self._is_held(text):
            return []
        return [ContentText(text)] if text.strip() or (text and not self._num_begun) else []

    @property
    def _may_be_text(self) -> bool:
        """True if the request allows text in place of the current call."""
        return not self._offer.is_required and not self._num_ended

    def _is_held(self, text: str) -> bool:
        """True if a text is the beginning of what opens or closes calls."""
        layout, text = self._layout, text.rstrip(_HALF)
        if not self._num_ended:
            return layout.marker.startswith(text.lstrip())
        return (layout.again or "").startswith(text) or layout.close.startswith(text)

    def _message(self) -> _Steps:
        yield from self._content()
        try:
            yield from self._calls()
        except BrokenCallError:
            self._is_broken = True
            while True:  # the rest is reported by `end`
                yield None
        while True:  # a mod added text after the calls
            if content := self._text.rstrip():
                self._text = self._text[len(content) :]
                yield ContentText(content)
            yield None

    def _content(self) -> _Steps:
        """Read up to a marker; the text that may be part of one is held back."""
        marker, at_start = self._layout.marker, self._layout.at_start
        has_content = False
        while True:
            found = find_marker(self._text, marker, at_start=at_start, has_before=has_content)
            length = len(self._text) if found is None else found
            if found is None:
                length -= num_open(self._text, marker, at_start=at_start, has_before=has_content)
            if content := self._text[:length].rstrip():
                has_content = True
                self._text = self._text[len(content) :]
                yield ContentText(content)
            if found is not None:
                self._text = self._text[found - len(content) :]
                self._take(len(marker))
                return
            yield None

    def _calls(self) -> _Steps:
        layout = self._layout
        yield from self._expect(layout.head)
        while True:
            yield from self._one_call()
            self._call = ""
            again = layout.again or "\0"
            while len(self._text) < len(again) and again.startswith(self._text):
                yield None
            if self._text.startswith(again):
                self._take(len(again))
                continue
            yield from self._expect(layout.close)
            self._call = ""
            return

    def _one_call(self) -> _Steps:
        name = yield from self._name()
        call_id = yield from self._id(name)
        yield from self._expect(self._layout.after_name)
        if self._layout.keyed is None:
            yield self._begun(name, call_id)
            yield from self._json()
        else:
            arguments = yield from self._keyed(name)
            yield self._begun(name, call_id)
            yield CallArguments(self._num_ended, arguments)
        yield from self._expect(self._layout.tail)
        yield CallEnded(self._num_ended)
        self._num_ended += 1

    def _begun(self, name: str, call_id: str) -> CallBegun:
        self._num_begun += 1
        return CallBegun(self._num_ended, call_id, name)

    def _name(self) -> Generator[None, None, str]:
        """Read the name of an offered tool, which ends at another character."""
        name = yield from self._matched(_NAME, longest=MAX_NAME)
        if name not in self._offer.by_name:
            raise BrokenCallError
        return name

    def _id(self, name: str) -> Generator[None, None, str]:
        """Read the id, if the format has one; return the id for clients."""
        layout = self._layout.id
        if layout is None:
            return new_call_id()
        yield from self._expect(layout.before)
        own = yield from self._matched(_ID, longest=layout.longest)
        if not layout.allows(own):
            raise BrokenCallError
        whole = f"functions.{name}:{own}"
        if not layout.is_whole or whole in self._ids:
            return new_call_id()
        self._ids.add(whole)
        return whole

    def _json(self) -> _Steps:
        """Read a JSON object, and report what came of it."""
        scan = JsonScan()
        while not scan.is_complete:
            length = scan.read(self._text)
            if length:
                yield CallArguments(self._num_ended, self._take(length))
            elif self._text:
                raise BrokenCallError
            else:
                yield None

    def _keyed(self, name: str) -> Generator[None, None, str]:
        """Read arguments that are written one by one; return them as JSON."""
        spelling, tail = self._offer.format.keyed, self._layout.tail
        assert spelling is not None
        kinds = kinds_of(self._offer.by_name[name], spelling)
        searched = 0
        while True:
            if tail in self._text[max(0, searched - len(tail)) :]:
                try:
                    found = KeyedText(self._text, spelling, kinds, tail=tail).read()
                except NotKeyedError as exc:
                    raise BrokenCallError from exc
                if found is not None:
                    self._take(found[1])
                    return found[0]
            searched = len(self._text)
            yield None

    def _matched(self, pattern: re.Pattern[str], *, longest: int) -> Generator[None, None, str]:
        """Read the longest match of a pattern, which ends before another character."""
        while True:
            found = pattern.match(self._text)
            if found is None and self._text:
                raise BrokenCallError
            if found and found.end() > longest:
                raise BrokenCallError
            if found and found.end() < len(self._text):
                return self._take(found.end())
            yield None

    def _expect(self, text: str) -> Generator[None, None, None]:
        """Read a text of the format."""
        while len(self._text) < len(text) and text.startswith(self._text):
            yield None
        if not self._text.startswith(text):
            raise BrokenCallError
        self._take(len(text))

    def _take(self, length: int) -> str:
        taken, self._text = self._text[:length], self._text[length:]
        self._call += taken
        return taken


def new_call_id() -> str:
    """Return a new id of a call."""
    return f"call_{uuid.uuid4().hex[:24]}"
