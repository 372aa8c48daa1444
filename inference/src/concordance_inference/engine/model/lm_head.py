"""Makes a model score the positions that are wanted, and no others.

A forward pass over a prompt or over forced tokens needs the scores of what comes next, not of
every position it reads; the head (hidden size x vocabulary) over all positions costs up to a
quarter of such a pass.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.cache import make_prompt_cache

#: Where mlx-lm's models keep the module that computes the hidden states.
_BODIES = ("model", "transformer", "backbone", "language_model")

#: What a probe may differ by, as a fraction of the logits' size.
_TOLERANCE = 2e-2

Wanted = Sequence[tuple[int, int]]  # (row, position) in a pass


class SelectiveHead:
    """A model that is asked for the scores of some positions of what it reads.

    mlx-lm's models are a body, which gives (rows, tokens, hidden), and a head, which gives
    (rows, tokens, vocab). The body's class is replaced by a subclass that returns the wanted
    positions only. A probe decides whether the model still says the same; if not, or if the model
    is built otherwise, it is left as it was and its logits are cut instead.
    """

    def __init__(self, model: Any, *, is_trimmed: bool | None = None) -> None:
        """Take one of mlx-lm's models, whose body is changed if that is possible.

        Args:
            model: The model.
            is_trimmed: Whether it is possible, if that is known; else a probe finds out.
        """
        self._model = model
        self._choice = None if is_trimmed is False else _choose_in(model, is_known=is_trimmed)

    @property
    def is_trimmed(self) -> bool:
        """Whether the head computes the wanted positions only."""
        return self._choice is not None

    @property
    def name(self) -> str:
        """What mlx-lm calls the model's kind."""
        name = getattr(self._model, "model_type", None)
        return name if isinstance(name, str) else type(self._model).__name__

    def read_afresh(self, token_ids: Sequence[int]) -> mx.array:
        """The logits behind tokens that are read at once into mlx-lm's caches.  (vocab,) float32"""
        cache = make_prompt_cache(self._model)
        return self._model(mx.array([list(token_ids)]), cache=cache)[0, -1].astype(mx.float32)

    def __call__(self, tokens: mx.array, cache: Sequence[Any], wanted: Wanted) -> mx.array:
        """Run a forward pass.

        Args:
            tokens: (rows, tokens) int32
            cache: What the model remembers, layer by layer.
            wanted: The positions to score; the model is run in any case.

        Returns:
            (wanted, vocab) float32, still to be computed
        """
        if self._choice is None:
            logits = _pick(self._model(tokens, cache=cache), wanted)
        else:
            with self._choice.of(wanted):
                logits = self._model(tokens, cache=cache)
            logits = logits.reshape(-1, logits.shape[-1])
        return logits.astype(mx.float32)


class _Choice:
    """The positions that the body is to return in the pass under way; `None`: all."""

    def __init__(self) -> None:
        self.wanted: Wanted | None = None

    def of(self, wanted: Wanted) -> "_Choice":
        self.wanted = wanted
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.wanted = None


class _ChosenPositions:
    """Returns the wanted positions of what the class behind it returns."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hidden = super().__call__(*args, **kwargs)  # type: ignore[misc]
        wanted = self.concordance_choice.wanted  # type: ignore[attr-defined]
        return hidden if wanted is None else _pick(hidden, wanted)[None]


def _pick(values: mx.array, wanted: Wanted) -> mx.array:
    """The values of some positions.  (rows, tokens, size) -> (wanted, size)"""
    rows, num_tokens, size = values.shape
    if not wanted:
        return values[:1, -1]
    if list(wanted) == [(row, num_tokens - 1) for row in range(rows)]:
        return values[:, -1]
    flat = mx.array([row * num_tokens + position for row, position in wanted])
    return values.reshape(-1, size)[flat]


def _choose_in(model: Any, *, is_known: bool | None) -> _Choice | None:
    """Change the model's body so that it returns what is chosen, if that is possible.

    Args:
        model: The model.
        is_known: True to change it without a probe.
    """
    body = _body_of(model)
    if body is None or isinstance(body, _ChosenPositions):
        return getattr(body, "concordance_choice", None)
    probe = mx.array([[1, 2, 3]])
    before = None if is_known else model(probe)
    plain, choice = type(body), _Choice()
    object.__setattr__(body, "concordance_choice", choice)
    body.__class__ = type(
        plain.__name__, (_ChosenPositions, plain), {"__module__": plain.__module__}
    )
    if before is None:
        return choice
    try:
        with choice.of([(0, 1), (0, 2)]):
            after = model(probe)
        if after.shape[:2] == (1, 2) and _is_close(after, before[:, 1:]):
            return choice
    except (ValueError, TypeError, IndexError, AttributeError):
        pass  # a head that wants every position
    body.__class__ = plain
    return None


def _is_close(one: mx.array, other: mx.array) -> bool:
    is_out = other == -mx.inf  # tokens that a model rules out
    one, other = (mx.where(is_out & (logits == -mx.inf), 0, logits) for logits in (one, other))
    size = mx.abs(other).max()
    return bool((mx.abs(one - other).max() <= _TOLERANCE * size).item())


def _body_of(model: Any) -> nn.Module | None:
    for name in _BODIES:
        inner = model.get(name) if isinstance(model, dict) else None
        if isinstance(inner, nn.Module):
            return _body_of(inner) if name == "language_model" else inner
    return None
