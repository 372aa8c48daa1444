"""Actions as older mods know them: plain objects that can be changed until they are returned."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from concordance_inference.mods.compat.quote_mod_sdk.logits import top_k_logprob
from concordance_inference.mods.compat.quote_mod_sdk.plain import Plain


def token_list(tokens: Iterable[int]) -> Any:
    """Token ids as a list; text as it is, so that it is refused as text."""
    return tokens if isinstance(tokens, str) else list(tokens)


class ModAction(Plain):
    """What an action is."""


class Noop(ModAction):
    """Change nothing."""


class AdjustedPrefill(ModAction):
    """Replace the prompt; a positive `max_steps` also caps the completion."""

    def __init__(self, tokens: Iterable[int], max_steps: int = 0) -> None:
        """Make one."""
        self.tokens = token_list(tokens)
        self.max_steps = max_steps


class ForceTokens(ModAction):
    """Put these tokens here without sampling them."""

    def __init__(self, tokens: Iterable[int]) -> None:
        """Make one."""
        self.tokens = token_list(tokens)


class EmitError(ModAction):
    """End the request with an error that the client is told."""

    def __init__(self, err_str: str) -> None:
        """Make one."""
        self.err_str = err_str


class AdjustedLogits(ModAction):
    """Change the distribution of this position."""

    def __init__(self, logits: Any = None, token_temp: float | None = None) -> None:
        """Make one.

        Args:
            logits: The row, as a `Tensor` or an array.  (1, vocab) or (vocab,)
            token_temp: The temperature of this position.
        """
        self.logits = logits
        self.token_temp = token_temp

    def top_k_logprob(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The `k` best log-probabilities and their token ids, best first.  both (1, k)"""
        return top_k_logprob(self.logits, k)


class ForceOutput(ModAction):
    """Make exactly these tokens the completion, and end it."""

    def __init__(self, tokens: Iterable[int]) -> None:
        """Make one."""
        self.tokens = token_list(tokens)


class ToolCalls(ModAction):
    """End the completion as calls of tools."""

    def __init__(self, tool_calls: Any) -> None:
        """Make one.

        Args:
            tool_calls: A call, a list of them, `{"tool_calls": [...]}`, or one of these as JSON.
        """
        self.tool_calls = tool_calls


class Backtrack(ModAction):
    """Take back the last `n` tokens of the completion, then put `tokens` there, if any."""

    def __init__(self, n: int, tokens: Iterable[int] | None = None) -> None:
        """Make one."""
        self.n = int(n)
        self.tokens = None if tokens is None else token_list(tokens)
