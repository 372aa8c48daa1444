"""Stop strings: where a text ends, and how much of it may be the start of a stop string."""

from collections.abc import Sequence


class StopStrings:
    """The strings that end a completion, wherever its token boundaries are."""

    def __init__(self, strings: Sequence[str]) -> None:
        """Search for any of `strings`; empty strings are ignored."""
        self._strings = tuple(string for string in strings if string)
        self.longest = max((len(string) for string in self._strings), default=0)

    def __bool__(self) -> bool:
        return bool(self._strings)

    def find(self, text: str, *, after: int = 0) -> int | None:
        """Return the start of the stop string that is completed first in `text`, if any.

        If several are completed by the same character, the longest one counts.

        Args:
            text: The text.
            after: Ignore stop strings that end within this many leading characters.
        """
        found = [
            (at + len(string), at)
            for string in self._strings
            if (at := text.find(string, max(0, after - len(string) + 1))) >= 0
        ]
        return min(found)[1] if found else None

    def string_at(self, text: str, begin: int) -> str | None:
        """Return the stop string that is completed first of those at a place of `text`, if any."""
        found = [string for string in self._strings if text.startswith(string, begin)]
        return min(found, key=len, default=None)

    def open_length(self, text: str) -> int:
        """Return the length of the longest suffix of `text` that is a prefix of a stop string."""
        for length in range(min(len(text), self.longest - 1), 0, -1):
            if any(string.startswith(text[-length:]) for string in self._strings):
                return length
        return 0
