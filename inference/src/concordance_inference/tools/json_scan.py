"""Finds the end of a JSON object in a text that comes in pieces."""

import re

#: What changes the state: outside of strings, and inside of them.
_OUTSIDE = re.compile(r'["{}\[\]]')
_INSIDE = re.compile(r'["\\]')


class JsonScan:
    """Scans one object, without validating it.

    Examples:
        >>> scan = JsonScan()
        >>> scan.read('{"a": "}'), scan.read('"} and more'), scan.is_complete
        (8, 2, True)
    """

    def __init__(self) -> None:
        """Scan from the start of an object."""
        self.is_complete = False
        self._depth = 0
        self._in_string = False
        self._is_escaped = False

    def read(self, text: str) -> int:
        """Return how many characters of a text belong to the object; 0 if it does not begin one."""
        if not self._depth and not text.startswith("{"):
            return 0
        at = 0
        while at < len(text) and not self.is_complete:
            at = self._next(text, at)
        return at

    def _next(self, text: str, at: int) -> int:
        """Scan to the next character that changes the state; return the position after it."""
        if self._is_escaped:
            self._is_escaped = False
            return at + 1
        found = (_INSIDE if self._in_string else _OUTSIDE).search(text, at)
        if found is None:
            return len(text)
        character = found[0]
        if character == "\\":
            self._is_escaped = True
        elif character == '"':
            self._in_string = not self._in_string
        else:
            self._depth += 1 if character in "{[" else -1
            self.is_complete = not self._depth
        return found.end()
