"""What a row need not prefill: prefixes of earlier requests, and of rows that run."""

from collections.abc import Callable, Sequence

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.caches.prefix_cache import MIN_TOKENS, Prefix, PrefixCache
from concordance_inference.engine.caches.prefix_tree import num_common
from concordance_inference.engine.request.row import Row
from concordance_inference.generation import GenerationRequest

#: Requests wait for another's prefill if that saves this many tokens: one of them, or all that wait
#: with the same prompt together. It costs the prefill a pass of its last token alone.
_WORTH_WAITING = 64

#: Where layers need snapshots, prefill also pauses this many tokens before the prompt's end: chat
#: templates render the last few tokens differently once an assistant message follows.
_TAIL = 16


class PrefixReuse:
    """Finds and restores the longest prefix of a prompt that is held anywhere.

    A prefix that several requests share is in one of three places, in order of preference:

        in the prefix cache       left by rows that have ended: copied into the new row
        in a running row          put into the prefix cache first, if that has room, then copied
        in a running prefill      the request waits until the row has it

    So a prompt that several requests have at the same time is processed once. With 8 of them, a
    prompt of 300 tokens and chunks of 256:

        step        1          2             3
        row 0       256        43            1, the prompt's last token
        rows 1-7    wait       wait          admitted with 299 tokens; 1 each, in the pass of row 0
    """

    def __init__(self, cache: BatchCache, *, max_bytes: int, token_bytes: int) -> None:
        """Start with an empty prefix cache.

        Args:
            cache: The caches of the running rows.
            max_bytes: The memory for prefixes; 0 turns all reuse off.
            token_bytes: The bytes of a token of a prefix, without snapshots.
        """
        self._cache = cache
        self._prefixes = PrefixCache(cache, max_bytes=max_bytes, token_bytes=token_bytes)

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
        state = row.state
        if row.is_sound:
            if state.num_cached == len(state.token_ids):  # a request that resumes here reads one
                self._cache.pin(i, [state.num_cached - 1])
            token_ids = state.token_ids[: state.num_cached]
            self._prefixes.keep(row.request.prefix_salt, i, token_ids, at_least=_least(row))

    def keep_part(self, i: int, row: Row) -> bool:
        """Copy the next part of what a row leaves; return False once `keep` can copy the rest.

        A CPU copies 6,500 tokens of a small model in 0.2 s, in which no row would get a token.
        """
        salt, token_ids = row.request.prefix_salt, row.state.token_ids[: row.state.num_cached]
        end = self._prefixes.next_part(salt, token_ids, row.num_kept) if row.is_sound else None
        if end is None:
            return False
        self._prefixes.keep(salt, i, token_ids[:end])
        row.num_kept = end
        return True

    def in_progress(
        self,
        rows: Sequence[Row],
        request: GenerationRequest,
        row: Row | None,
        count_alike: Callable[[], int],
    ) -> tuple[Row, int] | None:
        """Find a row whose prefill will spare a request enough tokens to wait for it.

        Args:
            rows: The rows that run.
            request: The request that waits.
            row: Its row, once its mods have seen the prompt.
            count_alike: Counts the requests that wait with its prompt, itself among them.

        Returns:
            The row, and the length of the common prefix, at which its prefill has to pause so that
            a snapshot can be taken; None if the request need not wait.
        """
        if row is None:
            prompt_ids, needs_all = request.prompt_ids, request.prompt_logprobs is not None
        else:
            prompt_ids, needs_all = row.prompt_ids, row.prompt_logprobs.is_needed
        if needs_all:
            return None
        sharing = [other for other in rows if _share_salt(other.request, request)]
        commons = [num_common(prompt_ids[:-1], other.prompt_ids) for other in sharing]
        held = [self._prefixes.find(request.prefix_salt, prompt_ids).length]
        for other, common in zip(sharing, commons, strict=True):
            held.append(min(common, other.state.num_cached))
        for other, common in zip(sharing, commons, strict=True):
            saved = common - max(held)
            if other.state.num_cached >= other.state.prompt_len or saved <= 0:
                continue
            if other.calls.is_parked:  # for as long as its mods take
                continue
            if saved >= _WORTH_WAITING:
                return other, common
            # Where the prefill pauses in any case, waiting for it costs nothing.
            is_many = common < _WORTH_WAITING and saved * count_alike() >= _WORTH_WAITING
            if common >= MIN_TOKENS and (common in other.stops or is_many):
                return other, common
        return None

    def restore(self, i: int, rows: Sequence[Row]) -> int:
        """Copy the longest held prefix into a new row, which is empty; return its length.

        The row may have a completion already, if it was paused.

        None for a row whose mods asked for the log-probabilities of the prompt: they come from
        processing it.
        """
        row = rows[i]
        prefix = self._prefixes.find(row.request.prefix_salt, _token_ids(row))
        num_cached = 0
        if not row.prompt_logprobs.is_needed:
            num_cached, prefix = self._copy_longest(i, rows, prefix)
        if self._cache.needs_snapshots:
            self._pin_stops(i, row, prefix, num_cached)
        return num_cached

    def _copy_longest(self, i: int, rows: Sequence[Row], prefix: Prefix) -> tuple[int, Prefix]:
        """Copy the longest prefix into a row; return its length, and what the cache holds now."""
        row = rows[i]
        j, common = self._longest_running(i, rows)
        if common >= prefix.length + _least(row):
            self._prefixes.keep(row.request.prefix_salt, j, _token_ids(row)[:common])
            prefix = self._prefixes.find(row.request.prefix_salt, _token_ids(row))
            if prefix.length < common and self._cache.copy(i, j, common):
                return common, prefix
        if prefix.length < _least(row):
            return 0, prefix
        self._prefixes.restore(i, prefix)
        return prefix.length, prefix

    def _longest_running(self, i: int, rows: Sequence[Row]) -> tuple[int, int]:
        """Find the row that holds most of the prompt of row `i`; return it and the length."""
        row, found = rows[i], (i, 0)
        token_ids = _token_ids(row)
        for j, other in enumerate(rows):
            if j != i and _share_salt(row.request, other.request):
                held = other.state.token_ids[: other.state.num_cached]
                common = self._cache.reach(j, num_common(token_ids[:-1], held))
                found = max(found, (j, common), key=lambda pair: pair[1])
        return found

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
    return one.prefix_salt == other.prefix_salt


def _least(row: Row) -> int:
    """Return the length of the shortest prefix that a row keeps and restores.

    A request that is paused again and again, after a few tokens each time, resumes where it was,
    and a branch reads none of its parent's tokens again.
    """
    return 1 if row.control or row.request.branch else MIN_TOKENS


def _token_ids(row: Row) -> list[int]:
    """Return what a row has to process: with a completion, if it has one before it is admitted.

    That is one which was paused, is resumed, or is a branch.
    """
    if row.control or row.request.beginning or row.request.branch:
        return row.state.token_ids
    return row.prompt_ids
