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
        "completion_tokens_details": {"reasoning_tokens": completed.reasoning_tokens},
    }


def sum_of(ends: Sequence[Completed]) -> dict[str, Any]:
    """The token counts of several generations together."""
    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    counts = {name: sum(getattr(end, name) for end in ends) for name in names}
    return usage(msgspec.structs.replace(ends[0], **counts))
