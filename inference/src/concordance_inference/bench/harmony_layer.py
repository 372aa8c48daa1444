"""Times what the host does for each token of a row, without a forward pass."""

import time
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from concordance_shared import AdjustedLogits
from msgspec import Struct

from concordance_inference.chat.readers import reader_factory
from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.metrics import Metrics
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.sampling.legal import only_legal
from concordance_inference.generation import GenerationRequest, TextDelta, Update


class RowTimes(Struct, frozen=True, kw_only=True):
    """Microseconds per token."""

    host: float  # of rules, mods, channels, text, and of the reader
    mask: float  # to build the graph that masks the logits

    @property
    def whole(self) -> float:
        """Both together."""
        return self.host + self.mask


def row_times(
    request: GenerationRequest, traits: ModelTraits, token_ids: Sequence[int]
) -> RowTimes:
    """Time a row that samples given tokens, as the engine runs it, and the reader of its text.

    Args:
        request: The request, which is streamed.
        traits: The model's.
        token_ids: The completion.
    """
    reader = reader_factory(request)()

    def receive(update: Update) -> None:
        if isinstance(update, TextDelta):
            reader.add(update)

    clock = Metrics().clock(0)
    row = Row(request, traits, receive, max_tokens=len(token_ids), clock=clock)
    row.begin()
    row.admit(len(request.prompt_ids))
    logits: Any = _Logits(traits.vocab_size)
    array = mx.zeros((1, traits.vocab_size))
    masks: list[tuple[Any, bool]] = []  # and if a mod may leave none of its tokens
    speculation, rules = row.speculation, row.rules
    start = time.thread_time()
    for token_id in token_ids:
        if row.dispatch.listens_to_logits:
            row.dispatch_logits(logits)
        if rules is not None:
            masks.append((rules.mask(is_pending=False), row.dispatch.listens_to_logits))
        speculation.mark_pending()
        row.take_sampled(token_id)
        speculation.processed(1)
        row.output.report()
    host = time.thread_time() - start
    assert row.state.error is None, row.state.error
    start = time.thread_time()
    for mask, may_be_empty in masks:
        only_legal(array, (mask,), may_be_empty=may_be_empty)
    masked = time.thread_time() - start
    count = len(token_ids)
    return RowTimes(host=1e6 * host / count, mask=1e6 * masked / count)


class _Logits(Struct, frozen=True):
    """Logits that are not read."""

    size: int
    actions: tuple[AdjustedLogits, ...] = ()

    def __len__(self) -> int:
        return self.size

    def adjusted(self, action: AdjustedLogits) -> "_Logits":
        return _Logits(self.size, (*self.actions, action))
