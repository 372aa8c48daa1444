"""Token counts in OpenAI's shape."""

from collections.abc import Sequence
from typing import Any

import msgspec

from concordance_inference.generation import Completed


def usage(completed: Completed) -> dict[str, Any]:
    """The token counts of one generation."""
    return {
        "prompt_tokens": completed.prompt_tokens,
        "completion_tokens": completed.completion_tokens,
        "total_tokens": completed.prompt_tokens + completed.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": completed.cached_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": completed.reasoning_tokens,
            "sampled_tokens": completed.completion_tokens - completed.forced_tokens,
            "forced_tokens": completed.forced_tokens,
            "backtracked_tokens": completed.backtracked_tokens,
        },
    }


_PROMPT = ("prompt_tokens", "cached_tokens")
_COMPLETION = ("completion_tokens", "reasoning_tokens", "forced_tokens", "backtracked_tokens")


def sum_of(ends: Sequence[Completed], *, per_prompt: int = 1) -> dict[str, Any]:
    """The token counts of several generations together.

    Args:
        ends: The generations, those of one prompt after another.
        per_prompt: How many there are of each prompt, which counts once.
    """
    first = ends[::per_prompt]
    counts = {name: sum(getattr(end, name) for end in first) for name in _PROMPT}
    counts |= {name: sum(getattr(end, name) for end in ends) for name in _COMPLETION}
    return usage(msgspec.structs.replace(ends[0], **counts))
