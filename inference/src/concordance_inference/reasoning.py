"""The tags around a model's reasoning, in prompts and completions."""

from collections.abc import Collection, Sequence
from typing import Protocol

from msgspec import Struct

#: An opening and a closing tag.
Tags = tuple[str, str]

#: The tags around a model's reasoning, which precedes its content.
REASONING_TAGS: tuple[Tags, ...] = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),  # Mistral
    ("<seed:think>", "</seed:think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<|think:start|>", "<|think:end|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Cohere
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<thought>", "</thought>"),  # EXAONE Deep
    ("◁think▷", "◁/think▷"),  # Kimi
    ("Here is my thought process:", "Here is my response:"),  # Granite 3.2
)

#: Closing tags that other chat templates name for other purposes.
_SHARED = ("<channel|>",)

#: Tags around the content that follows a reasoning, by its closing tag. They are part of neither.
_CONTENT_MARKS = {
    "<|END_THINKING|>": ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    "<|close|>think<|sep|>": (
        "<|open|>response<|sep|>",
        "<|close|>response<|sep|>",
        "<|close|>message<|sep|>",
    ),
}

#: Characters of a prompt's end in which a tag is searched.
_TAIL = 64


class Reasoning(Struct, frozen=True, kw_only=True):
    """How the reasoning of a completion is marked in its text.

    Attributes:
        tags: The tags that may enclose it.
        opened: Those that the prompt has opened, so that the completion begins inside them.
    """

    tags: tuple[Tags, ...]
    opened: Tags | None = None

    @property
    def opening(self) -> tuple[str, ...]:
        """The opening tags."""
        return tuple(opening for opening, _ in self.tags)

    @property
    def content_marks(self) -> tuple[str, ...]:
        """Tags that the model may write around its content."""
        return content_marks(self.tags)


def content_marks(tags: Sequence[Tags]) -> tuple[str, ...]:
    """Return the tags that models write around their content, by the tags of the reasoning."""
    return tuple(mark for _, closing in tags for mark in _CONTENT_MARKS.get(closing, ()))


class TagTokenizer(Protocol):
    """The tokenizer of a model, as far as tags are concerned."""

    @property
    def special_token_ids(self) -> Collection[int]:
        """The tokens that are not part of the text."""
        ...

    @property
    def eos_token_ids(self) -> Collection[int]:
        """The tokens that end a completion."""
        ...

    @property
    def added_token_ids(self) -> Collection[int]:
        """The tokens that were added to the vocabulary, special ones included."""
        ...

    def encode(self, text: str) -> list[int]:
        """Tokenize a text."""
        ...


def tags_of(tokenizer: TagTokenizer, template: str) -> tuple[Tags, ...]:
    """Return the tags that a model may write around its reasoning.

    They have tokens of their own in its vocabulary, or its chat template names them.
    """
    return tuple(
        tags
        for tags in REASONING_TAGS
        if all(_is_own(tokenizer, tag) for tag in tags)
        or (tags[1] in template and tags[1] not in _SHARED)
    )


def _is_own(tokenizer: TagTokenizer, tag: str) -> bool:
    return any(token_id in tokenizer.added_token_ids for token_id in tokenizer.encode(tag))


def marker_ids(tokenizer: TagTokenizer, tags: Sequence[Tags]) -> tuple[int, ...]:
    """Return the special tokens of tags and of content marks, but those that end a completion."""
    marks = [*(tag for pair in tags for tag in pair), *content_marks(tags)]
    found = {token_id for mark in marks for token_id in tokenizer.encode(mark)}
    special = found.intersection(tokenizer.special_token_ids)
    return tuple(sorted(special.difference(tokenizer.eos_token_ids)))


def opened_tag(prompt_end: str) -> Tags | None:
    r"""Return the tags of the reasoning that a prompt opens; `None` if it opens none.

    Examples:
        >>> opened_tag("assistant\n<think>\n"), opened_tag("<think>\n\n</think>\n\n")
        (('<think>', '</think>'), None)
    """
    end = prompt_end[-_TAIL:].rstrip()
    return next((tags for tags in REASONING_TAGS if end.endswith(tags[0])), None)


def opened_within(text: str, known: Sequence[Tags]) -> Tags | None:
    """Return the tags of a reasoning that a text opens and does not close, if any.

    Examples:
        >>> opened_within("<think>so", REASONING_TAGS), opened_within("4", REASONING_TAGS)
        (('<think>', '</think>'), None)
    """
    for tags in known:
        _, opening, after = text.rpartition(tags[0])
        if opening and tags[1] not in after:
            return tags
    return None


def is_closed(prompt_end: str) -> bool:
    r"""True if a prompt closes the reasoning, so that the model does not begin one.

    Examples:
        >>> is_closed("<think>\n\n</think>\n\n")
        True
    """
    end = prompt_end[-_TAIL:].rstrip()
    return any(end.endswith(close) for _, close in REASONING_TAGS)


def after_reasoning(text: str, *, opens: bool) -> str | None:
    """Return what follows the reasoning of a completion; `None` if that does not end.

    Args:
        text: The completion, with special tokens by name.
        opens: The prompt opens the reasoning.

    Examples:
        >>> after_reasoning("hm</think>yes", opens=True), after_reasoning("yes", opens=False)
        ('yes', 'yes')
    """
    for opening, closing in REASONING_TAGS:
        if text.startswith(opening) or (opens and closing in text):
            _, closed, after = text.partition(closing)
            return after if closed else None
    return None if opens else text


def num_reasoning_tokens(pieces: Sequence[bytes], reasoning: Reasoning) -> int:
    """Return the number of tokens of a completion's reasoning, without its tags.

    Args:
        pieces: The bytes that each token adds to the text, special tokens by name.
        reasoning: How the reasoning is marked.

    Examples:
        >>> tagged = Reasoning(tags=(("<think>", "</think>"),))
        >>> num_reasoning_tokens([b"<think>", b"so", b" 4", b"</think>", b"4"], tagged)
        2
        >>> num_reasoning_tokens([b"4"], tagged)
        0
    """
    data = b"".join(pieces)
    begin, closing = _begin(data, reasoning)
    if closing is None:
        return 0
    end = data.find(closing, begin)
    end = len(data) if end < 0 else end
    count = at = 0
    for piece in pieces:
        if at >= end:
            break
        at += len(piece)
        count += at > begin
    return count


def _begin(data: bytes, reasoning: Reasoning) -> tuple[int, bytes | None]:
    """Where the reasoning begins in a completion, and the tag that closes it."""
    start = len(data) - len(data.lstrip())
    for opening, closing in reasoning.tags:
        if data.startswith(opening.encode(), start):
            return start + len(opening.encode()), closing.encode()
    if reasoning.opened is None:
        return 0, None
    return 0, reasoning.opened[1].encode()
