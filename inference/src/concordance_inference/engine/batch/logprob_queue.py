"""Logprobs of forced tokens and of prompts, on their way from the device to the rows."""

from typing import cast

import mlx.core as mx

from concordance_inference.engine.batch.step_logits import KnownLogits, RecentPosition
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.sampling.logprobs import Logprobs


class LogprobQueue:
    """Computes logprobs of tokens that were not sampled, and delivers them one step later."""

    def __init__(self) -> None:
        """Create an empty queue."""
        self._launched: list[tuple[Logprobs, tuple[tuple[Row, int], ...]]] = []

    def launch(self, known: KnownLogits) -> None:
        """Launch the computation of logprobs."""
        token_ids = [row.state.token_ids[length] for row, length in known.at]
        num_top = max(row.num_top for row, _ in known.at)
        with_ranks = any(row.request.prompt_logprobs is not None for row, _ in known.at)
        chosen = mx.array(token_ids, mx.int32)
        logprobs = Logprobs(known.logits, chosen, num_top, with_ranks=with_ranks)
        self._launched.append((logprobs, known.at))

    def deliver(self) -> None:
        """Deliver all logprobs that were launched. Waits for the device."""
        for logprobs, at in self._launched:
            for entry, (row, length) in zip(logprobs.read(), at, strict=True):
                row.take_logprobs(length, entry)
        self._launched.clear()

    def deliver_remembered(self, row: Row) -> None:
        """Deliver those of forced tokens for whose positions logits are remembered.

        A mod that replaces a sampled token forces at a position whose logits were computed to
        sample it; they need no pass.
        """
        while (length := row.output.logits_needed_from()) < len(row.state.token_ids):
            recent = cast(RecentPosition | None, row.speculation.recall(length))
            if recent is None:
                return
            self.launch(KnownLogits(recent.logits, ((row, length),)))
            self.deliver()
