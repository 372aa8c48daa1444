"""Runs a model with its LM head on selected positions only.

A forward pass over a prompt or over forced tokens needs the logits of the next token, not those of
every position. The LM head (hidden size x vocabulary) over all positions takes up to a quarter of
such a pass: with 576 x 49,152 weights and 135M parameters in all, one fifth.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.cache import make_prompt_cache

#: Attributes of mlx-lm's models that hold the body, which computes the hidden states.
_BODIES = ("model", "transformer", "backbone", "language_model")

#: Tolerance of the probe, as a fraction of the largest logit.
_TOLERANCE = 2e-2

Positions = Sequence[tuple[int, int]]  # (row, position) in a pass


class SelectiveHead:
    """A model that returns the logits of selected positions.

    mlx-lm's models consist of a body, which returns (rows, tokens, hidden), and a head, which
    returns (rows, tokens, vocab). The body's class is replaced by a subclass that returns the
    selected positions only, so that the head does not see the others:

        tokens (2, 5)  ->  body (2, 5, hidden)  ->  select (1, 3, hidden)  ->  head (1, 3, vocab)

    A probe checks that the logits do not change. If they do, or if the model has no such body, the
    model is left as it was, and positions are selected from its logits.
    """

    def __init__(self, model: Any, *, is_selective: bool | None = None) -> None:
        """Replace the class of the model's body, if the logits stay the same.

        Args:
            model: One of mlx-lm's.
            is_selective: The result of an earlier probe; `None` to run the probe.
        """
        self._model = model
        self._selection = (
            None if is_selective is False else _select_in(model, is_known=is_selective)
        )

    @property
    def is_selective(self) -> bool:
        """True if the head computes selected positions only."""
        return self._selection is not None

    @property
    def name(self) -> str:
        """The model's type in mlx-lm, such as `llama`."""
        name = getattr(self._model, "model_type", None)
        return name if isinstance(name, str) else type(self._model).__name__

    def reference_logits(self, token_ids: Sequence[int]) -> mx.array:
        """Run the model on one row with mlx-lm's own caches.  (vocab,) float32"""
        cache = make_prompt_cache(self._model)
        return self._model(mx.array([list(token_ids)]), cache=cache)[0, -1].astype(mx.float32)

    def __call__(self, tokens: mx.array, cache: Sequence[Any], positions: Positions) -> mx.array:
        """Run a forward pass.

        Args:
            tokens: (rows, tokens) int32
            cache: The caches of the layers.
            positions: The positions whose logits are needed. If empty, the model still runs, and
                one position is returned to wait for.

        Returns:
            (positions, vocab) float32, not computed yet
        """
        if self._selection is None:
            logits = _select(self._model(tokens, cache=cache), positions)
        else:
            with self._selection.of(positions):
                logits = self._model(tokens, cache=cache)
            logits = logits.reshape(-1, logits.shape[-1])
        return logits.astype(mx.float32)


class _Selection:
    """The positions that the body returns within a `with` block; outside of it, all."""

    def __init__(self) -> None:
        self.positions: Positions | None = None

    def of(self, positions: Positions) -> "_Selection":
        self.positions = positions
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.positions = None


class _SelectivePositions:
    """A mixin before a body's class: returns the selected positions of what the body returns."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hidden = super().__call__(*args, **kwargs)  # type: ignore[misc]
        positions = self.concordance_selection.positions  # type: ignore[attr-defined]
        return hidden if positions is None else _select(hidden, positions)[None]


def _select(values: mx.array, positions: Positions) -> mx.array:
    """Select positions.  (rows, tokens, size) -> (positions, size)"""
    rows, num_tokens, size = values.shape
    if not positions:
        return values[:1, -1]
    if list(positions) == [(row, num_tokens - 1) for row in range(rows)]:
        return values[:, -1]  # the usual case: a view instead of a gather
    flat = mx.array([row * num_tokens + position for row, position in positions])
    return values.reshape(-1, size)[flat]


def _select_in(model: Any, *, is_known: bool | None) -> _Selection | None:
    """Make the model's body return selected positions; `None` if that is not possible.

    Args:
        model: The model.
        is_known: True to do it without a probe.
    """
    body = _body_of(model)
    if body is None or isinstance(body, _SelectivePositions):
        return getattr(body, "concordance_selection", None)
    probe = mx.array([[1, 2, 3]])
    before = None if is_known else model(probe)
    plain, selection = type(body), _Selection()
    object.__setattr__(body, "concordance_selection", selection)
    body.__class__ = type(
        plain.__name__, (_SelectivePositions, plain), {"__module__": plain.__module__}
    )
    if before is None:
        return selection
    try:
        with selection.of([(0, 1), (0, 2)]):
            after = model(probe)
        if after.shape[:2] == (1, 2) and _is_close(after, before[:, 1:]):
            return selection
    except (ValueError, TypeError, IndexError, AttributeError):
        pass  # a head that needs every position
    body.__class__ = plain
    return None


def _is_close(one: mx.array, other: mx.array) -> bool:
    # Some models set logits to -inf themselves; the difference of two -inf would be NaN.
    is_masked = other == -mx.inf
    one, other = (mx.where(is_masked & (logits == -mx.inf), 0, logits) for logits in (one, other))
    size = mx.abs(other).max()
    return bool((mx.abs(one - other).max() <= _TOLERANCE * size).item())


def _body_of(model: Any) -> nn.Module | None:
    for name in _BODIES:
        inner = model.get(name) if isinstance(model, dict) else None
        if isinstance(inner, nn.Module):
            return _body_of(inner) if name == "language_model" else inner
    return None
