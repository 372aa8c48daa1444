"""The reasoning of earlier messages, under the name that a chat template reads."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from concordance_inference.chat.template_messages import Messages

#: Names besides `reasoning_content`, which most templates read; `thinking` is gpt-oss's.
_NAMES = ("reasoning", "thinking")


def reasoning_names(template: str) -> tuple[str, ...]:
    r"""Return the fields in which a template reads the reasoning, other than the usual one.

    Examples:
        >>> reasoning_names("{{ message.thinking }}"), reasoning_names("{{ enable_thinking }}")
        (('thinking',), ())
    """
    if "reasoning_content" in template:
        return ()
    reads = r"\.{0}\b|\[['\"]{0}['\"]\]|\.get\(['\"]{0}['\"]"
    return tuple(name for name in _NAMES if re.search(reads.format(name), template))


def with_reasoning(forms: Iterable[Messages], names: Sequence[str]) -> Iterator[Messages]:
    """The forms of messages, with the reasoning under more names."""
    for form in forms:
        yield [_named(message, names) for message in form] if names else form


def _named(message: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    reasoning = message.get("reasoning_content")
    # The template of gpt-oss refuses calls with both a content and a reasoning.
    if not reasoning or (message.get("tool_calls") and message["content"]):
        return message
    return {**message, **dict.fromkeys(names, reasoning)}
