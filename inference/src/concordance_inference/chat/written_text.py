"""Text that knows which of its characters a chat template wrote itself.

The rest came from the request: contents, names, tool results, tool schemas. Operations that this
class does not follow give plain text, all of which counts as the request's: the safe direction.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Self, SupportsIndex

_OWN, _GIVEN = "1", "0"


class WrittenText(str):
    """A text with a flag for each character: "1" if the template wrote it, otherwise "0"."""

    __slots__ = ("flags",)
    flags: str

    def __new__(cls, text: str = "", flags: str | None = None) -> Self:
        """Make a text of the request; of the template where `flags` say so."""
        made = super().__new__(cls, text)
        made.flags = flags_of(text) if flags is None else flags
        return made

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        return joined((self, other))

    def __radd__(self, other: str) -> str:
        return joined((other, self))

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        return WrittenText(str.__getitem__(self, key), self.flags[key])

    def __iter__(self) -> Iterator[str]:
        return map(WrittenText, str.__iter__(self), self.flags)

    def strip(self, chars: str | None = None) -> str:
        """Strip both ends."""
        return self._part(str.lstrip(self, chars), str.strip(self, chars))

    def lstrip(self, chars: str | None = None) -> str:
        """Strip the beginning."""
        text = str.lstrip(self, chars)
        return self._part(text, text)

    def rstrip(self, chars: str | None = None) -> str:
        """Strip the end."""
        return self._part(self, str.rstrip(self, chars))

    def removeprefix(self, prefix: str) -> str:
        """Remove a prefix."""
        return self[len(prefix) :] if self.startswith(prefix) else self

    def removesuffix(self, suffix: str) -> str:
        """Remove a suffix."""
        return self[: len(self) - len(suffix)] if self.endswith(suffix) else self

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """Split at a separator, or at whitespace."""
        return self._located(str.split(self, sep, maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """Split at a separator, or at whitespace, from the end."""
        return self._located(str.rsplit(self, sep, maxsplit), sep)

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        """Replace a text."""
        if not old:
            return WrittenText(str.replace(self, old, new, count))
        return _between(new, self.split(old, count))

    def join(self, iterable: Iterable[str], /) -> str:
        """Put this text between others."""
        return _between(self, [*iterable])

    def lower(self) -> str:
        """Make it lower-case."""
        return self._changed(str.lower(self))

    def upper(self) -> str:
        """Make it upper-case."""
        return self._changed(str.upper(self))

    def title(self) -> str:
        """Make each word begin with a capital."""
        return self._changed(str.title(self))

    def capitalize(self) -> str:
        """Make it begin with a capital."""
        return self._changed(str.capitalize(self))

    def _changed(self, text: str) -> str:
        """A text with one character for each of this."""
        return WrittenText(text, self.flags if len(text) == len(self) else None)

    def _part(self, rest: str, text: str) -> str:
        """A part that begins where `rest`, the end of this text, begins."""
        begin = len(self) - len(rest)
        return WrittenText(text, self.flags[begin : begin + len(text)])

    def _located(self, parts: list[str], sep: str | None) -> list[str]:
        """Parts of this text, in order, with a separator or whitespace between them."""
        located: list[str] = []
        end = 0
        for part in parts:
            begin = str.find(self, part, end) if sep is None else end
            located.append(WrittenText(part, self.flags[begin : begin + len(part)]))
            end = begin + len(part) + len(sep or "")
        return located


def written(value: Any) -> Any:
    """Return a text, or the texts in a list, as the template's own."""
    if isinstance(value, str):
        return WrittenText(value, _OWN * len(value))
    return [written(item) for item in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]


def joined(parts: Iterable[str]) -> str:
    """Join texts; the result knows what the template wrote if one of them does."""
    texts = [*parts]
    if not any(isinstance(text, WrittenText) for text in texts):
        return "".join(texts)
    return WrittenText("".join(texts), "".join(map(flags_of, texts)))


def own_runs(text: str) -> Iterator[tuple[int, int]]:
    """Where the template wrote a text itself: begins and ends of the longest runs."""
    flags = flags_of(text)
    end = 0
    while (begin := flags.find(_OWN, end)) >= 0:
        end = flags.find(_GIVEN, begin)
        end = len(flags) if end < 0 else end
        yield begin, end


def flags_of(text: str) -> str:
    """A flag for each character of a text: "1" if the template wrote it, otherwise "0"."""
    return text.flags if isinstance(text, WrittenText) else _GIVEN * len(text)


def _between(separator: str, parts: list[str]) -> str:
    texts = [text for part in parts for text in (separator, part)]
    return joined(texts[1:])
