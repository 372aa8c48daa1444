"""What a row need not prefill: prefixes of earlier requests, and of rows that run."""

from collections.abc import Sequence

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.caches.prefix_cache import MIN_TOKENS, Prefix, PrefixCache
from concordance_inference.engine.caches.prefix_tree import num_common
from concordance_inference.engine.request.row import Row
from concordance_inference.generation import GenerationRequest

#: A request waits for another's prefill if that saves it this many tokens.
_WORTH_WAITING = 64

#: Where layers need snapshots, prefill also pauses this many tokens before the prompt's end: chat
#: templates render the last few tokens differently once an assistant message follows.
_TAIL = 16


class PrefixReuse:
    """Finds and restores the longest prefix of a prompt that is held anywhere.

    A prefix that several requests share is in one of three places, in order of preference:

        in the prefix cache       left by rows that have ended: copied into the new row
        in a running row          put into the prefix cache first, then copied
        in a running prefill      the request waits until the row has it
    """

    def __init__(self, cache: BatchCache, *, max_bytes: int) -> None:
        """Start with an empty prefix cache.

        Args:
            cache: The caches of the running rows.
            max_bytes: The memory for prefixes; 0 turns all reuse off.
        """
        self._cache = cache
        self._prefixes = PrefixCache(cache, max_bytes=max_bytes)

    @property
    def num_bytes(self) -> int:
        """Bytes of the prefixes of earlier requests."""
        return self._prefixes.num_bytes

    def limit(self, num_bytes: int) -> None:
        """Evict prefixes until at most `num_bytes` are kept."""
        self._prefixes.limit(num_bytes)

    def clear(self) -> None:
        """Evict all prefixes."""
        self._prefixes.clear()

    def keep(self, i: int, row: Row) -> None:
        """Keep what a row leaves in the caches, unless its logits were NaN."""
        if row.is_sound:
            token_ids = row.state.token_ids[: row.state.num_cached]
            self._prefixes.keep(row.request.cache_salt, i, token_ids)

    def in_progress(
        self, rows: Sequence[Row], request: GenerationRequest
    ) -> tuple[Row, int] | None:
        """Find a row whose prefill will spare a request enough tokens to wait for it.

        Returns:
            The row, and the length of the common prefix, at which its prefill has to pause so that
            a snapshot can be taken; None if the request need not wait.
        """
        if not self._prefixes.is_on:
            return None
        cached = self._prefixes.find(request.cache_salt, request.prompt_ids).length
        for row in rows:
            num_cached = row.state.num_cached
            if num_cached < row.state.prompt_len and _share_salt(row.request, request):
                common = num_common(request.prompt_ids[:-1], row.prompt_ids)
                if common - max(cached, num_cached) >= _WORTH_WAITING:
                    return row, common
        return None

    def restore(self, i: int, rows: Sequence[Row]) -> int:
        """Copy the longest held prefix into a new row, which is empty; return its length.

        The row may have a completion already, if it was paused.

        None for a row whose mods asked for the log-probabilities of the prompt: they come from
        processing it.
        """
        row = rows[i]
        prompt_ids = row.state.token_ids if row.control else row.prompt_ids
        prefix = self._prefixes.find(row.request.cache_salt, prompt_ids)
        for j, other in enumerate(rows):
            if j != i and _share_salt(row.request, other.request):
                prefix = self._longer(prompt_ids, prefix, j, other)
        is_reusable = prefix.length >= MIN_TOKENS and not row.prompt_logprobs.is_needed
        num_cached = prefix.length if is_reusable else 0
        if num_cached:
            self._prefixes.restore(i, prefix)
        if self._cache.needs_snapshots:
            self._pin_stops(i, row, prefix, num_cached)
        return num_cached

    def _longer(self, prompt_ids: Sequence[int], prefix: Prefix, j: int, other: Row) -> Prefix:
        """Return the prefix that a running row holds, by way of the cache, if it is longer."""
        held = other.state.token_ids[: other.state.num_cached]
        common = self._cache.reach(j, num_common(prompt_ids[:-1], held))
        if not self._prefixes.is_on or common < prefix.length + MIN_TOKENS:
            return prefix
        self._prefixes.keep(other.request.cache_salt, j, prompt_ids[:common])
        return self._prefixes.find(other.request.cache_salt, prompt_ids)

    def _pin_stops(self, i: int, row: Row, prefix: Prefix, num_cached: int) -> None:
        """Pause prefill where later requests may resume, and keep these positions reachable.

        A snapshot can only be taken while a row is at its position. A prompt of 300 tokens of which
        140 are in the prefix cache, with a snapshot at 100:

            0                100         140                  284  300
            |--- restored ----|- prefill -|------ prefill -----|----|
                                          stop                 stop stop

        The stop at 140 lets a third request with these 140 tokens resume there.
        """
        stops = {row.state.prompt_len, row.state.prompt_len - _TAIL, *row.stops}
        if prefix.match.length - prefix.length >= MIN_TOKENS:
            stops.add(prefix.match.length)
        row.stops = {stop for stop in stops if stop > num_cached}
        self._cache.pin(i, list(row.stops))


def _share_salt(one: GenerationRequest, other: GenerationRequest) -> bool:
    return one.cache_salt == other.cache_salt
