"""The edits of a completion since a worker was last sent them."""


class CompletionEdits:
    """A follower of a completion: collects what has changed.

    Examples:
        >>> edits = CompletionEdits()
        >>> edits.extend((1, 2, 3))
        >>> edits.take()
        (0, (1, 2, 3))
        >>> edits.cut(2)
        >>> edits.extend((4,))
        >>> edits.take()
        (2, (4,))
    """

    def __init__(self) -> None:
        """Follow an empty completion."""
        self._kept = 0  # leading tokens that have not changed
        self._added: list[int] = []  # those after them

    def extend(self, token_ids: tuple[int, ...]) -> None:
        """Follow tokens that were appended."""
        self._added += token_ids

    def cut(self, num_completion: int) -> None:
        """Follow the removal of all but the first tokens."""
        if num_completion < self._kept:
            self._kept = num_completion
            self._added.clear()
        else:
            del self._added[num_completion - self._kept :]

    def take(self) -> tuple[int, tuple[int, ...]]:
        """Return the number of tokens that have not changed since the last call, and the others."""
        kept, added = self._kept, tuple(self._added)
        self._kept = kept + len(added)
        self._added.clear()
        return kept, added
