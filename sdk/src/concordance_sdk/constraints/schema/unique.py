"""Detects repeated items in arrays with `uniqueItems`, which no grammar can express."""

import functools
import json
from collections.abc import Sequence
from typing import Any, cast

from concordance_sdk.constraints.schema.places import Places

_SPACES = b" \t\n\r"

#: Longer tokens are not considered as prefixes of an item.
_LONGEST = 24


class _Frame:
    """An open array or object."""

    def __init__(self, *, is_array: bool, kinds: frozenset[int], is_watched: bool) -> None:
        self.is_array = is_array
        self.kinds = kinds  # in `Places`
        self.key: str | None = None  # the last key
        self.is_watched = is_watched
        self.expects_key = not is_array
        self.begin: int | None = None  # where the current item begins
        self.items: frozenset[Any] = frozenset()
        self.written: tuple[bytes, ...] = ()  # the same items, as bytes

    def copy(self) -> "_Frame":
        """Return an independent copy."""
        other = _Frame(is_array=self.is_array, kinds=self.kinds, is_watched=self.is_watched)
        other.key, other.expects_key, other.begin, other.items = (
            self.key,
            self.expects_key,
            self.begin,
            self.items,
        )
        other.written = self.written
        return other


class Watch:
    """Parses a document byte by byte and detects repeated items.

    Examples:
        >>> from concordance_sdk.constraints.schema.places import Kind
        >>> watch = Watch(Places([Kind(is_unique=True, items=frozenset(), objects=())]))
        >>> watch.read(b'["a", "b", "'), watch.read(b'a"')
        (True, False)
    """

    def __init__(self, places: Places) -> None:
        """Create a watch at the start of a document.

        Args:
            places: Where `uniqueItems` applies.
        """
        self._places = places
        self._data = bytearray()
        self._dropped = 0  # the number of bytes already dropped from the front of `_data`
        self._frames: list[_Frame] = []
        self._text_begin: int | None = None
        self._is_escaped = False

    def copy(self) -> "Watch":
        """Return an independent copy that holds only the data still needed."""
        other = Watch(self._places)
        begins = [frame.begin for frame in self._frames if frame.begin is not None]
        begins += [self._text_begin] if self._text_begin is not None else []
        first = min(begins, default=self._at)
        other._data = self._data[first - self._dropped :]
        other._dropped = first
        other._frames = [frame.copy() for frame in self._frames]
        other._text_begin, other._is_escaped = self._text_begin, self._is_escaped
        return other

    def read(self, data: bytes) -> bool:
        """Parse more bytes; return False if they complete a repeated item."""
        return all(self._read(byte) for byte in data)

    def suspects(self) -> bytes:
        """Return the bytes that can complete a repeated item; empty if none can."""
        frame = next((f for f in reversed(self._frames) if f.is_watched and f.items), None)
        if frame is None:
            return b""
        if frame.begin is None:
            return b'"}],' + _SPACES
        first = self._between(frame.begin, frame.begin + 1)
        return {b'"': b'"', b"{": b"}", b"[": b"]"}.get(first, b",]" + _SPACES)

    def repeating(self) -> list[bytes]:
        """Return the continuations that would repeat an earlier item."""
        frame = self._frames[-1] if self._frames else None
        while frame and not (frame.is_watched and frame.items):
            before = self._frames.index(frame)
            frame = self._frames[before - 1] if before else None
        if frame is None:
            return []
        if frame.begin is None:
            return [lead + item for item in frame.written for lead in (b"", b" ", b",", b", ")]
        begun = self._between(frame.begin, self._at)
        return [item[len(begun) :] for item in frame.written if item.startswith(begun)]

    @property
    def _at(self) -> int:
        return self._dropped + len(self._data)

    def _between(self, begin: int, end: int) -> bytes:
        return bytes(self._data[begin - self._dropped : end - self._dropped])

    def _read(self, byte: int) -> bool:
        at = self._at
        self._data.append(byte)
        if self._text_begin is not None:
            return self._in_text(byte, at, self._text_begin)
        if byte in _SPACES:
            return self._end_item(at)
        if byte in b",]}:":
            return self._structure(byte, at)
        self._begin_item(at)
        if byte == ord('"'):
            self._text_begin = at
        elif byte in b"[{":
            self._open(is_array=byte == ord("["))
        return True

    def _in_text(self, byte: int, at: int, begin: int) -> bool:
        if self._is_escaped:
            self._is_escaped = False
        elif byte == ord("\\"):
            self._is_escaped = True
        elif byte == ord('"'):
            self._text_begin = None
            frame = self._frames[-1] if self._frames else None
            if frame and frame.expects_key:
                frame.key = json.loads(self._between(begin, at + 1))
            else:
                return self._end_item(at + 1)
        return True

    def _structure(self, byte: int, at: int) -> bool:
        frame = self._frames[-1]
        if byte == ord(":"):
            frame.expects_key = False
            return True
        if not self._end_item(at):  # ends a number or a literal
            return False
        if byte == ord(","):
            frame.expects_key = not frame.is_array
            return True
        self._frames.pop()
        return self._end_item(at + 1)

    def _begin_item(self, at: int) -> None:
        if self._frames and self._frames[-1].is_array and self._frames[-1].begin is None:
            self._frames[-1].begin = at

    def _end_item(self, end: int) -> bool:
        """End the current item, if any; return False if it is a repetition."""
        frame = self._frames[-1] if self._frames else None
        if frame is None or not frame.is_array or frame.begin is None:
            return True
        begin, frame.begin = frame.begin, None
        if not frame.is_watched:
            return True
        written = self._between(begin, end)
        item = _comparable(json.loads(written))
        if item in frame.items:
            return False
        frame.items |= {item}
        frame.written += (written,)
        return True

    def _open(self, *, is_array: bool) -> None:
        parent = self._frames[-1] if self._frames else None
        kinds = frozenset({0})
        if parent:
            kinds = self._places.below(parent.kinds, None if parent.is_array else parent.key)
        is_watched = is_array and self._places.is_unique(kinds)
        self._frames.append(_Frame(is_array=is_array, kinds=kinds, is_watched=is_watched))


def differ_in(text: str, places: Places) -> bool:
    """True if the items of all arrays with `uniqueItems` differ."""
    return Watch(places).read(text.encode())


def _comparable(value: Any) -> Any:
    """Convert a JSON value to one that is equal exactly if the JSON values are."""
    if isinstance(value, bool) or value is None:
        return (type(value), value)
    if isinstance(value, list):
        return ("array", *map(_comparable, cast(list[Any], value)))
    if isinstance(value, dict):
        members = cast(dict[str, Any], value).items()
        return ("object", frozenset((key, _comparable(inner)) for key, inner in members))
    return value


class TokenIndex:
    """Finds tokens of a vocabulary by their bytes."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        """Create an index; its tables are built on first use."""
        self._tokens = tokens
        self._known: dict[bytes, list[tuple[int, bytes]]] = {}

    def prefixes_of(self, texts: Sequence[bytes]) -> set[int]:
        """Return the tokens that are a prefix of one of some texts."""
        heads = {text[:end] for text in texts for end in range(1, min(len(text), _LONGEST) + 1)}
        return {self._ids[head] for head in heads if head in self._ids}

    @functools.cached_property
    def _ids(self) -> dict[bytes, int]:
        return {token: i for i, token in enumerate(self._tokens)}

    def containing(self, some: bytes) -> list[tuple[int, bytes]]:
        """Return the tokens that contain at least one of some bytes, with their ids."""
        if some not in self._known:
            bytes_ = frozenset(some)
            self._known[some] = [
                (i, token) for i, token in enumerate(self._tokens) if not bytes_.isdisjoint(token)
            ]
        return self._known[some]
