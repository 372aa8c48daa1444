"""What was read of earlier requests, so that the same beginning is not read again."""

from collections.abc import Sequence

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.caches.prefix_tree import Match, PrefixTree
from concordance_inference.engine.caches.segments import Segment, Snapshot

#: A beginning that is shorter is not worth the copy.
MIN_TOKENS = 16


class PrefixCache:
    """Keeps what rows hold by the tokens they have read, and gives it to rows that begin alike.

    Layers that look all the way back are kept token by token in a tree, so that a beginning which
    many requests share is held once and can be used to any length. Sliding windows and recurrent
    states are kept at some positions only, and a row can go on from these.
    """

    def __init__(self, cache: BatchCache, *, max_bytes: int) -> None:
        """Keep what the rows of a batch hold.

        Args:
            cache: The batch's caches.
            max_bytes: What may be kept; 0 keeps nothing.
        """
        self._cache = cache
        self._tree: PrefixTree[Segment, Snapshot] = PrefixTree()
        self._max_bytes = max_bytes
        self._limit = max_bytes

    @property
    def is_on(self) -> bool:
        """Whether anything may be kept."""
        return self._max_bytes > 0

    @property
    def num_bytes(self) -> int:
        """What is kept, in bytes."""
        return self._tree.num_bytes

    def limit(self, num_bytes: int) -> None:
        """Keep at most so much from now on; what was not used for the longest time goes first."""
        self._limit = min(num_bytes, self._max_bytes)
        self._tree.shrink(self._limit)

    def clear(self) -> None:
        """Drop all that is kept."""
        self._tree.shrink(0)

    def find(self, salt: str, token_ids: Sequence[int]) -> "Prefix":
        """The longest beginning of a prompt that does not have to be read.

        One token at least is left to read, since the scores of what comes next come from reading.
        """
        match = self._tree.match(salt, token_ids[: len(token_ids) - 1])
        if not self._cache.needs_snapshots:
            return Prefix(match, match.length, None)
        usable = [(mark.reach(match.length), mark) for mark in match.marks().values()]
        length, snapshot = max(usable, key=lambda pair: pair[0], default=(0, None))
        return Prefix(match, length, snapshot if length else None)

    def restore(self, row: int, prefix: "Prefix") -> None:
        """Make an empty row hold what was found."""
        spans = prefix.match.spans(prefix.length)
        segments = [(start, segment.first(prefix.length - start)) for start, segment in spans]
        self._cache.restore(row, prefix.length, segments, prefix.snapshot)

    def keep(self, salt: str, row: int, token_ids: Sequence[int]) -> None:
        """Keep what a row holds of some tokens, which are those that it has read first."""
        if not self._limit:
            return
        snapshots: dict[int, Snapshot] = {}
        if self._cache.needs_snapshots:
            snapshots = self._cache.snapshots(row, len(token_ids))
            token_ids = token_ids[: max(snapshots, default=0)]
        if len(token_ids) < MIN_TOKENS:
            return
        match = self._tree.match(salt, token_ids)
        if self._tree.add(salt, token_ids, match):
            segment = self._cache.segment(row, match.length, len(token_ids))
            self._tree.put(salt, token_ids, match, segment)
        for position, snapshot in snapshots.items():
            self._tree.mark(match, position, snapshot)
        self._tree.shrink(self._limit)


class Prefix:
    """A beginning that was read before."""

    def __init__(
        self, match: Match[Segment, Snapshot], length: int, snapshot: Snapshot | None
    ) -> None:
        """Describe what was found.

        Args:
            match: Where it is kept, and how far the tokens are the same.
            length: How many tokens can be used.
            snapshot: From what to go on, for the layers that need it.
        """
        self.match = match
        self.length = length
        self.snapshot = snapshot
