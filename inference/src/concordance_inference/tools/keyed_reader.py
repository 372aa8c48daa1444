"""Reads arguments that are written one by one, and returns them as JSON."""

import functools
import json
from collections.abc import Mapping

from concordance_sdk.constraints.keyed_object import KeyedObject
from concordance_sdk.constraints.schema.keyed import KeyedSpelling, MemberKinds
from concordance_shared import ConstraintError, Tool

from concordance_inference.tools.offer import parameters_of

_PYTHON = {"True": "true", "False": "false", "None": "null"}


class NotKeyedError(Exception):
    """A text is not a list of arguments."""


class KeyedText:
    """A text that begins with arguments, as far as it was generated.

    Examples:
        >>> spelling = KeyedSpelling(before_key="<", after_key=">", after_value="</>")
        >>> KeyedText("<n>3</><t>a</>.", spelling, {}, tail=".").read()
        ('{"n": 3, "t": "a"}', 14)
        >>> KeyedText("<n>3</><t>a", spelling, {}, tail=".").read()
    """

    def __init__(
        self, text: str, spelling: KeyedSpelling, kinds: Mapping[str, MemberKinds], *, tail: str
    ) -> None:
        """Read a text.

        Args:
            text: The text.
            spelling: How arguments are written.
            kinds: The kinds of values of each key.
            tail: What follows the arguments.
        """
        self._text = text
        self._spelling = spelling
        self._kinds = kinds
        self._tail = tail
        self._at = 0

    def read(self) -> tuple[str, int] | None:
        """Return the arguments as JSON, and their length; `None` if more text is needed.

        Raises:
            NotKeyedError: It is something else.
        """
        members: dict[str, str] = {}
        while not self._text.startswith(self._tail, self._at):
            member = self._member(is_first=not members)
            if member is None:
                return None
            members[member[0]] = member[1]
        written = ", ".join(f"{_dumps(key)}: {value}" for key, value in members.items())
        return f"{{{written}}}", self._at

    def _member(self, *, is_first: bool) -> tuple[str, str] | None:
        """The next key, and its value as JSON."""
        spelling = self._spelling
        before = spelling.before_key if is_first else spelling.separator + spelling.before_key
        rest = self._text[self._at :]
        if not rest.startswith(before):
            if before.startswith(rest) or self._tail.startswith(rest):
                return None
            raise NotKeyedError
        begin = self._at + len(before)
        end = self._text.find(spelling.after_key, begin)
        if end < 0:
            return None
        self._at = end + len(spelling.after_key)
        key = self._text[begin:end]
        value = self._value(self._kinds.get(key, MemberKinds(has_texts=True, has_others=True)))
        return None if value is None else (key, value)

    def _value(self, kinds: MemberKinds) -> str | None:
        """The next value as JSON, without what follows it."""
        spelling, quote = self._spelling, self._spelling.quote
        if quote and self._text.startswith(quote, self._at):
            return self._string(self._at + len(quote), quote + spelling.after_value)
        is_json = quote is None or quote or not kinds.has_texts
        if is_json or (kinds.has_others and self._text[self._at : self._at + 1] in ("{", "[")):
            return self._json()
        text = self._until(self._at, spelling.after_value)
        if text is None or not kinds.has_others:
            return text if text is None else _dumps(text)
        return text if _is_other_json(text) else _dumps(text)

    def _string(self, begin: int, end: str) -> str | None:
        text = self._until(begin, end)
        return text if text is None else _dumps(text)

    def _until(self, begin: int, end: str) -> str | None:
        found = self._text.find(end, begin)
        if found < 0:
            return None
        self._at = found + len(end)
        return self._text[begin:found]

    def _json(self) -> str | None:
        """A value of JSON, or a literal of Python."""
        begin, after = self._at, self._spelling.after_value
        literal = next((one for one in _PYTHON if self._text.startswith(one, begin)), None)
        if literal and self._spelling.has_python_literals:
            end, value = begin + len(literal), _PYTHON[literal]
        else:
            try:
                _, end = json.JSONDecoder().raw_decode(self._text, begin)
            except (ValueError, RecursionError):
                return None  # incomplete, or wrong: the text then never continues as it should
            value = self._text[begin:end]
        if not self._text.startswith(after, end):
            return None
        self._at = end + len(after)
        return value


def kinds_of(tool: Tool, spelling: KeyedSpelling) -> dict[str, MemberKinds]:
    """Return the kinds of values of each argument of a tool."""
    return _kinds(json.dumps(parameters_of(tool)), spelling)


@functools.lru_cache(256)
def _kinds(schema: str, spelling: KeyedSpelling) -> dict[str, MemberKinds]:
    try:
        return KeyedObject(json.loads(schema), spelling).kinds
    except ConstraintError:  # the request is refused
        return {}


def _is_other_json(text: str) -> bool:
    """True if a text is JSON and no string."""
    try:
        return not isinstance(json.loads(text), str)
    except (ValueError, RecursionError):
        return False


def _dumps(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
