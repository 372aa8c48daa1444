"""Stop strings: where one begins in a text, and whether one may be about to."""

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
        """Where the first stop string begins in `text` from `begin` on, or `None`."""
        found = [at for string in self._strings if (at := text.find(string, begin)) >= 0]
        return min(found, default=None)

    def open_length(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of a stop string."""
        for length in range(min(len(text), self.longest - 1), 0, -1):
            if any(string.startswith(text[-length:]) for string in self._strings):
                return length
        return 0
