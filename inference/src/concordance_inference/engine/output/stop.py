"""Stop strings: where a text ends, and whether one may be about to be completed."""

from collections.abc import Sequence


class StopStrings:
    """The strings at which a completion ends, whatever the borders of its tokens."""

    def __init__(self, strings: Sequence[str]) -> None:
        """Look for any of `strings`; empty ones are left out."""
        self._strings = tuple(string for string in strings if string)
        self.longest = max((len(string) for string in self._strings), default=0)

    def __bool__(self) -> bool:
        return bool(self._strings)

    def find(self, text: str, begin: int = 0) -> int | None:
        """The start of the stop string that is completed first in `text`, or `None`.

        Of several that are completed by the same character, the longest.

        Args:
            text: The text.
            begin: Look at the text from this character on.
        """
        found = [
            (at + len(string), at)
            for string in self._strings
            if (at := text.find(string, begin)) >= 0
        ]
        return min(found)[1] if found else None

    def open_length(self, text: str) -> int:
        """Length of the longest beginning of a stop string at the end of `text`."""
        for length in range(min(len(text), self.longest - 1), 0, -1):
            if any(string.startswith(text[-length:]) for string in self._strings):
                return length
        return 0
