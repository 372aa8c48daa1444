"""Which tokens of a row are processed, sampled or reusable, and whether speculation succeeded.

Array-free: logits are opaque values here.
"""

from collections.abc import Callable, Collection
from typing import Any

from concordance_sdk.host.request_state import RequestState

from concordance_inference.engine.plan import RowDemand
from concordance_inference.engine.request.backoff import SpeculationBackoff
from concordance_inference.engine.request.recent_logits import RecentLogits


class Speculation:
    """The progress of one row's forward passes relative to the tokens of its request.

    A sampled token remains on the device for one step: the next forward pass processes it before
    the mods have seen it, so that the device never waits for them. Positions are identified by
    the length of the prefix before them. In this drawing `?` is the pending token:

        token_ids    P P P a b c            known = len(token_ids) = 6, prompt_len = 3
        pending                  ?          sampled from the logits that follow 6 tokens
        KV cache     P P P a b c ?          the launched pass has written `?` too ...
        num_cached             6            ... but only 6 tokens are confirmed
        logits_at                7          the pass returns the logits that follow `?`
        recent           4 5 6 7            lengths whose logits are remembered

    Then `?` arrives, say as `d`, and the mods see it. `resolve` compares the outcome:

        mods do              token_ids          num_cached   the pass was
        nothing              P P P a b c d      7            useful: 7 is the next position
        force "d e"          P P P a b c d e    7            useful: only `e` is processed next
        force "x"            P P P a b c x      6            wasted: `x` overwrites `d` in the cache
        backtrack 2          P P P a b          5            wasted, but logits at 5 are remembered:
                                                             the next token needs no pass
        backtrack 2, "c d"   P P P a b c d      5            wasted: the cut lowered num_cached,
                                                             even if the tokens are the same

    A wasted pass starts a backoff, during which the engine waits for the mods before it launches
    the next pass; but not one that a wrong guess of a mask wasted, of which there are few.
    """

    def __init__(
        self, state: RequestState, *, max_recent: int, logits_needed_from: Callable[[], int]
    ) -> None:
        """Track a request of which nothing is processed.

        Args:
            state: The request.
            max_recent: Number of positions whose logits are remembered.
            logits_needed_from: Returns the least length whose logits are needed: the length of
                `token_ids` for the next position, less if logprobs of known tokens are missing.
        """
        self._state = state
        self._logits_needed_from = logits_needed_from
        self._recent = RecentLogits(max_recent)
        self.remembers = max_recent > 0
        self.backoff = SpeculationBackoff()
        self.is_pending = False  # a sampled token is on the device, and not in `token_ids` yet
        self._is_ahead = False  # a launched pass processes the pending token
        self._logits_at = 0  # length that the logits returned last follow
        self.num_read = 0  # tokens that it had when it got its row, and that passes process
        self._reprocess_to = 0  # tokens below were processed before: again in chunks, as a prompt
        self._max_processed = 0  # greatest length that a pass has processed
        self._finite_length = 0  # greatest length known to be followed by finite logits

    # Queries

    def demand(self, stops: Collection[int]) -> RowDemand:
        """Return what the row has to process next.

        Args:
            stops: Lengths at which a chunk has to end.
        """
        state = self._state
        if self.is_pending:
            # The last token of the budget is not processed: no position follows it, unless a mod
            # backtracks. Nor is one that was on its way when the request was cancelled.
            is_waiting = state.is_finished or state.room <= 1
            return RowDemand(state.num_cached, is_pending=True, is_waiting=is_waiting)
        needed_from, length = self._logits_needed_from(), len(state.token_ids)
        is_over = state.is_finished and needed_from == length
        if is_over or self.recalls_next:
            return RowDemand(state.num_cached, is_waiting=True)
        # Of a finished request only logprobs are missing; no logits after its last token.
        end = length - state.is_finished
        return RowDemand(
            state.num_cached,
            state.token_ids[state.num_cached : end],
            is_prompt=state.num_cached < max(state.prompt_len, self._reprocess_to),
            logits_from=needed_from,
            stops=tuple(stops),
        )

    def is_stuck(self, demand: RowDemand) -> bool:
        """True if no step can advance the row: nothing to process and nothing to sample."""
        if self._state.is_finished or demand.is_active:
            return False
        return not (self._state.room and (self.is_pending or self.recalls_next))

    @property
    def reusable_len(self) -> int:
        """Number of cached tokens to keep before the next pass.

        At least one token is processed per pass, since logits come from processing: one less than
        `logits_needed_from`, or all cached tokens if no logits have to be computed.
        """
        if self.is_pending or self.recalls_next:
            return self._state.num_cached
        return min(self._state.num_cached, self._logits_needed_from() - 1)

    @property
    def cache_length(self) -> int:
        """Number of tokens in the KV cache, the pending one included if a pass has processed it."""
        return self._logits_at if self._is_ahead else self._state.num_cached

    @property
    def recalls_next(self) -> bool:
        """True if the next token can be sampled from remembered logits, without a pass."""
        state = self._state
        length = len(state.token_ids)
        if self.is_pending or state.is_finished or state.num_cached < length:
            return False
        return self._logits_needed_from() == length and self._recent.get(length) is not None

    def is_next(self, length: int) -> bool:
        """True if the token after `length` tokens is the one to sample next.

        A pass may also return logits within a forced span that is processed in chunks: the next
        token is known there, and only its logprob is needed.

            8 tokens, 5 of them forced and processed in chunks of 3, with logprobs:
            first chunk    returns logits at 4 5 6, whose next tokens are known
            second chunk   returns logits at 7 and 8; 8 is the next position
        """
        return length == len(self._state.token_ids) + self.is_pending and (
            not self._state.is_finished
        )

    @property
    def logits_are_current(self) -> bool:
        """True if the logits returned last are those of the next position.

        False if a mod forced or backtracked after the pass was launched.
        """
        state = self._state
        return not state.is_finished and state.num_cached == len(state.token_ids) == self._logits_at

    @property
    def may_hold_nan(self) -> bool:
        """True if cached keys and values may hold NaN, since not all logits were seen.

        The last token may have been processed ahead, and its logits not used: one is tolerated.
        """
        return self._max_processed > self._finite_length + 1

    @property
    def is_in_step(self) -> bool:
        """True if the KV cache holds what the pending token follows, and nothing after it.

        The usual case: no token was wasted, so there is nothing to rewind.
        """
        return self.is_pending and self._state.num_cached == self._logits_at

    # Transitions

    def mark_pending(self) -> None:
        """Record that the sampling of the next token was launched."""
        self.is_pending = True

    def rewound(self, num_cached: int, reusable: int) -> None:
        """Record that the KV cache was rewound.

        Args:
            num_cached: Tokens that it holds now.
            reusable: The `reusable_len` that was requested. A recurrent state can only resume
                from a snapshot, so `num_cached` may be less.
        """
        self._reprocess_to = max(self._reprocess_to, reusable)
        self.num_read += self._state.num_cached - num_cached
        self._state.mark_processed(num_cached)

    def evicted(self) -> None:
        """Record that the row has left the batch: nothing is cached or remembered."""
        self._recent.drop_after(-1)
        self.rewound(0, self._state.num_cached)

    def processed(self, num_tokens: int) -> None:
        """Record that a launched pass processes tokens; a pending one is not confirmed yet."""
        self._logits_at = self._state.num_cached + num_tokens
        self._max_processed = max(self._max_processed, self._logits_at)
        if self.is_pending:
            self._is_ahead = True
        else:
            self._state.mark_processed(self._logits_at)

    def remember_at_least(self, num_positions: int) -> None:
        """Remember the logits of this many positions from now on, or of more."""
        if not self.remembers:
            self._recent, self.remembers = RecentLogits(num_positions), True

    def remember(self, length: int, logits: Any) -> None:
        """Keep the logits that follow `length` tokens."""
        self._recent.add(length, logits)

    def recall(self, length: int) -> Any | None:
        """Return the logits that follow `length` tokens, if they are remembered."""
        return self._recent.get(length)

    def recall_next(self) -> Any | None:
        """Make remembered logits the current ones and return them; `None` if a pass is needed."""
        if not self.recalls_next:
            return None
        self._logits_at = self._state.num_cached
        return self._recent.get(self._logits_at)

    def drop_stale_logits(self) -> None:
        """Drop remembered logits whose prefix has changed."""
        self._recent.drop_after(self._state.num_cached)

    def resolve(
        self, known: int, token_id: int, *, is_finite: bool, backs_off: bool = True
    ) -> bool:
        """Record what became of the pending token. See the table of the class.

        Args:
            known: Length of `token_ids` before the token arrived.
            token_id: The token; negative if none was sampled.
            is_finite: True if it shows that the model's logits after `known` tokens are finite.
            backs_off: A wasted pass starts a backoff.

        Returns:
            True if a pass was launched whose result is discarded.
        """
        state = self._state
        # Kept if no mod cut into the first `known` tokens and the token is the one after them.
        # A cut lowers num_cached, and stays visible there even if the same tokens are forced.
        is_kept = (
            state.num_cached == known < len(state.token_ids) and state.token_ids[known] == token_id
        )
        if self._is_ahead and is_kept:
            state.mark_processed(known + 1)
        was_wasted = self._is_ahead and not is_kept
        if backs_off:
            self.backoff.note(was_wasted=was_wasted)
        if is_finite:
            self._finite_length = max(self._finite_length, known)
        self.drop_stale_logits()
        self.is_pending = self._is_ahead = False
        return was_wasted
