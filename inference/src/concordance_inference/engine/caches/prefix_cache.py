"""The caches of earlier requests, so that a prefix is processed once."""

from collections.abc import Sequence

from msgspec import Struct

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.caches.prefix_tree import Match, PrefixTree
from concordance_inference.engine.caches.segments import Segment, Snapshot
from concordance_inference.engine.model.device import resize_bytes

#: A shorter prefix is not worth the copy.
MIN_TOKENS = 16


class Prefix(Struct, frozen=True, eq=False):
    """The part of a prompt that need not be processed."""

    match: Match[Segment, Snapshot]  # where it is held, and how many tokens are the same
    length: int  # tokens that can be used
    snapshot: Snapshot | None  # what to resume from, for the groups that need one


class PrefixCache:
    """Keeps what rows leave in the caches, by their tokens, for rows with the same prefix.

    Full-attention layers are kept token by token in a tree: a prefix that many requests share is
    held once and can be used up to any length. Sliding windows and recurrent states are kept as
    snapshots at some positions, from which a row can resume:

        tokens held      system prompt | question 1 | answer 1 |
        snapshots                      ^            ^          ^
        new prompt       system prompt | question 2
        match            ------------------------>                 "question " is the same
        used             ------------->                            up to a snapshot
    """

    def __init__(self, cache: BatchCache, *, max_bytes: int, token_bytes: int = 0) -> None:
        """Make an empty cache.

        Args:
            cache: The batch's caches.
            token_bytes: The bytes of a token of a prefix, without snapshots.
            max_bytes: The memory for prefixes; 0 keeps none.
        """
        self._cache = cache
        self._token_bytes = token_bytes
        self._tree: PrefixTree[Segment, Snapshot] = PrefixTree()
        self._max_bytes = max_bytes
        self._limit = max_bytes

    @property
    def is_on(self) -> bool:
        """True if prefixes are kept."""
        return self._max_bytes > 0

    @property
    def num_bytes(self) -> int:
        """Bytes of all prefixes."""
        return self._tree.num_bytes

    def limit(self, num_bytes: int) -> None:
        """Keep at most `num_bytes` from now on; evict the least recently used."""
        self._limit = min(num_bytes, self._max_bytes)
        self._tree.shrink(self._limit)

    def clear(self) -> None:
        """Evict everything."""
        self._tree.shrink(0)

    def find(self, salt: str, token_ids: Sequence[int]) -> Prefix:
        """Return the longest prefix of a prompt that can be restored.

        Finding is not using: requests that are only considered keep nothing from being evicted.
        The last token is always processed, since its logits are needed.
        """
        match = self._tree.match(salt, token_ids[: len(token_ids) - 1])
        if not self._cache.needs_snapshots:
            return Prefix(match, match.length, None)
        usable = [(mark.reach(match.length), mark) for mark in match.marks().values()]
        length, snapshot = max(usable, key=lambda pair: pair[0], default=(0, None))
        return Prefix(match, length, snapshot if length else None)

    def restore(self, row: int, prefix: Prefix) -> None:
        """Make an empty row hold a prefix, which counts as used."""
        self._tree.use(prefix.match)
        spans = prefix.match.spans(prefix.length)
        segments = [(start, segment.first(prefix.length - start)) for start, segment in spans]
        self._cache.restore(row, prefix.length, segments, prefix.snapshot)

    def next_part(self, salt: str, token_ids: Sequence[int], begin: int) -> int | None:
        """Return where the next part of a prefix ends; `None` if the rest can be kept at once.

        Args:
            salt: The prefix's salt.
            token_ids: The prefix, which a row holds.
            begin: Where the part before ended.
        """
        size = resize_bytes() // max(1, self._token_bytes)
        is_small = len(token_ids) - begin <= size
        if is_small or self._cache.needs_snapshots or not self._fits(len(token_ids)):
            return None
        end = size + max(begin, self._tree.match(salt, token_ids).length)
        return end if end < len(token_ids) else None

    def keep(
        self, salt: str, row: int, token_ids: Sequence[int], *, at_least: int = MIN_TOKENS
    ) -> None:
        """Keep what a row holds of its first tokens, `token_ids`, unless they are too few."""
        if not self._limit:
            return
        snapshots: dict[int, Snapshot] = {}
        if self._cache.needs_snapshots:
            snapshots = self._cache.snapshots(row, len(token_ids))
            token_ids = token_ids[: max(snapshots, default=0)]
        if len(token_ids) < at_least:
            return
        if not self._fits(len(token_ids)):
            return  # it would be evicted as soon as it is copied
        match = self._tree.match(salt, token_ids)
        self._tree.use(match)
        if self._tree.add(salt, token_ids, match):
            segment = self._cache.segment(row, match.length, len(token_ids))
            self._tree.put(salt, token_ids, match, segment)
        for position, snapshot in snapshots.items():
            self._tree.mark(match, position, snapshot)
        self._tree.shrink(self._limit)

    def _fits(self, num_tokens: int) -> bool:
        return num_tokens * self._token_bytes <= self._limit
