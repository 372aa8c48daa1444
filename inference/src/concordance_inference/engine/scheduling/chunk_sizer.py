"""The number of known tokens that a step processes. No arrays."""

from collections.abc import Sequence

from concordance_inference.engine.plan import PassCost, RowDemand, StepPlan

#: Forced tokens that a step processes at least, so that forcing a few never takes longer than
#: sampling them. Of a prompt it is one, as of a decoding row: however slow a model is, it ends.
_MIN_FORCED = 4

#: Weight of one step in the correction: a single measurement is noisy.
_LEARNING_RATE = 0.25

#: The measured cost is corrected by at most this factor.
_MAX_CORRECTION = 16.0


class ChunkSizer:
    """Sizes the chunks of prompts so that a step beside decoding rows meets a latency target.

    What a pass costs was measured when the model was loaded. How much slower steps are is learned
    from those that prefill beside decoding rows: the machine may have been busy then, or be now.

        target 100 ms, steps 1.25 times as slow as measured      80 ms by the measured costs
        a decoding pass over 3 rows                             -30 ms
        left for a chunk                                         50 ms, at 1 ms a token: 50 tokens
    """

    def __init__(
        self, cost: PassCost, *, max_chunk: int, target_s: float, learns: bool = False
    ) -> None:
        """Start with the measured cost.

        Args:
            cost: What a forward pass costs, in seconds.
            max_chunk: Known tokens that a step processes, at most.
            target_s: The longest that a step with decoding rows should take, in seconds.
            learns: True to correct `cost` by what steps take.
        """
        self._cost = cost
        self._max_chunk = max_chunk
        self._target_s = target_s
        self._learns = learns
        self._slowness = 1.0  # time of a step over its time by `cost`
        self._is_shared = False  # True if the last step prefills beside decoding rows

    def chunk(self, rows: Sequence[RowDemand]) -> int:
        """Return the number of known tokens to process in a step, of prompts and forced spans."""
        self._is_shared = False
        if all(len(row.token_ids) <= 1 for row in rows):
            return self._max_chunk
        active = [row for row in rows if row.is_active]
        decoding = [row.num_cached for row in active if len(row.token_ids) <= 1]
        prefilling = [row.num_cached for row in active if len(row.token_ids) > 1]
        self._is_shared = bool(decoding and prefilling)
        if not decoding:
            return self._max_chunk
        target = self._target_s / self._slowness
        left = target - self._cost.of(len(decoding), 1, max(decoding) + 1)
        num_tokens = self._cost.tokens_in(left, max(prefilling, default=0))
        least = 1 if any(row.is_prompt for row in active) else _MIN_FORCED
        return min(self._max_chunk, max(least, num_tokens))

    def learn(self, plan: StepPlan, seconds: float) -> None:
        """Correct the cost by the time of a step, if it prefilled beside decoding rows."""
        if self._learns and self._is_shared and plan.passes:
            ratio = seconds / plan.cost(self._cost) / self._slowness
            slowness = self._slowness * min(2.0, max(0.5, ratio)) ** _LEARNING_RATE
            self._slowness = min(_MAX_CORRECTION, max(1 / _MAX_CORRECTION, slowness))
