"""The actions of `quote_mod_sdk`: mutable objects."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from concordance_inference.mods.compat.quote_mod_sdk.attribute_repr import AttributeRepr
from concordance_inference.mods.compat.quote_mod_sdk.logits import top_k_logprob


def token_list(tokens: Iterable[int]) -> Any:
    """Return token ids as a list; a string is left unchanged, so that it is rejected as one."""
    return tokens if isinstance(tokens, str) else list(tokens)


class ModAction(AttributeRepr):
    """The base class of actions."""


class Noop(ModAction):
    """Change nothing."""


class AdjustedPrefill(ModAction):
    """Replace the prompt; a positive `max_steps` also caps the completion."""

    def __init__(self, tokens: Iterable[int], max_steps: int = 0) -> None:
        """Create the action."""
        self.tokens = token_list(tokens)
        self.max_steps = max_steps


class ForceTokens(ModAction):
    """Append tokens without sampling them."""

    def __init__(self, tokens: Iterable[int]) -> None:
        """Create the action."""
        self.tokens = token_list(tokens)


class EmitError(ModAction):
    """End the request with an error for the client."""

    def __init__(self, err_str: str) -> None:
        """Create the action."""
        self.err_str = err_str


class AdjustedLogits(ModAction):
    """Change the distribution of this position."""

    def __init__(self, logits: Any = None, token_temp: float | None = None) -> None:
        """Create the action.

        Args:
            logits: The row, as a `Tensor` or an array.  (1, vocab) or (vocab,)
            token_temp: The temperature of this position.
        """
        self.logits = logits
        self.token_temp = token_temp

    def top_k_logprob(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the top `k` logprobs and their token ids, in descending order.  both (1, k)"""
        return top_k_logprob(self.logits, k)


class ForceOutput(ModAction):
    """Replace the completion by these tokens, and end it."""

    def __init__(self, tokens: Iterable[int]) -> None:
        """Create the action."""
        self.tokens = token_list(tokens)


class ToolCalls(ModAction):
    """End the completion with tool calls."""

    def __init__(self, tool_calls: Any) -> None:
        """Create the action.

        Args:
            tool_calls: A call, a list of them, `{"tool_calls": [...]}`, or one of these as JSON.
        """
        self.tool_calls = tool_calls


class Backtrack(ModAction):
    """Remove the last `n` tokens of the completion, then append `tokens`, if any."""

    def __init__(self, n: int, tokens: Iterable[int] | None = None) -> None:
        """Create the action."""
        self.n = int(n)
        self.tokens = None if tokens is None else token_list(tokens)
