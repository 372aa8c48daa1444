"""Makes a model score only the last position of what it reads.

A forward pass over a prompt or over forced tokens needs the scores of what comes next, not of
every position it reads; the head (hidden size x vocabulary) over all positions costs up to a
quarter of such a pass.
"""

from typing import Any

import mlx.core as mx
from mlx import nn

#: Where mlx-lm's models keep the module that computes the hidden states.
_BODIES = ("model", "transformer", "backbone", "language_model")


def score_last_position_only(model: Any) -> bool:
    """Cut what the model's body hands to its head to the last position, if that is possible.

    mlx-lm's models are a body, which gives (rows, tokens, hidden), and a head, which gives
    (rows, tokens, vocab). The body's class is replaced by a subclass that returns its last
    position only. A probe decides whether the model still says the same; if not, or if the model
    is built otherwise, it is left as it was.

    Returns:
        Whether it was possible. The caller takes `[:, -1]` in either case.
    """
    body = _body_of(model)
    if body is None or isinstance(body, _LastPosition):
        return body is not None
    probe = mx.array([[1, 2, 3]])
    before = model(probe)
    plain = type(body)
    body.__class__ = type(plain.__name__, (_LastPosition, plain), {"__module__": plain.__module__})
    try:
        after = model(probe)
        if after.shape[1] == 1 and mx.allclose(before[:, -1], after[:, -1], atol=1e-3).item():
            return True
    except (ValueError, TypeError, IndexError, AttributeError):
        pass  # a head that wants more than one position
    body.__class__ = plain
    return False


class _LastPosition:
    """Returns the last position of what the class behind it returns."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hidden = super().__call__(*args, **kwargs)  # type: ignore[misc]
        return hidden[:, -1:]


def _body_of(model: Any) -> nn.Module | None:
    for name in _BODIES:
        inner = model.get(name) if isinstance(model, dict) else None
        if isinstance(inner, nn.Module):
            return _body_of(inner) if name == "language_model" else inner
    return None
