"""Where a model's reasoning begins and ends, by the tags around it."""

from concordance_shared import Event, Prefilled
from msgspec import Struct

from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.text.phrases import PhraseMatch, PhraseWatch
from concordance_sdk.tokenizer import Tokenizer

#: Number of prompt tokens searched for an opening tag. Only white space may follow it: a tag
#: elsewhere is part of the prompt's content.
_PROMPT_TAIL = 64


class _Mark(Struct, frozen=True):
    """An occurrence of a tag."""

    match: PhraseMatch
    num_tokens: int  # length of the completion up to the end of the tag, in tokens


class ReasoningSpan:
    """Tracks the tags around a model's reasoning, at the end of the prompt and in the completion.

    Attributes:
        text: The completion, including special tokens by name, since a tag can be one.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> seen = []
        >>> @mod
        ... class Watch:
        ...     def __init__(self):
        ...         self.reasoning = ReasoningSpan()
        ...
        ...     def added(self, event, actions, tokenizer):
        ...         self.reasoning.follow(event, tokenizer)
        ...         seen.append(self.reasoning.num_tokens)
        >>> _ = play(Watch, script="<think>hm</think>ok")
        >>> max(seen)
        9
    """

    def __init__(self, open_tag: str = "<think>", close_tag: str = "</think>") -> None:
        """Track the reasoning between two tags.

        Args:
            open_tag: The tag that begins it, in the completion or at the end of the prompt.
            close_tag: The tag that ends it.

        Raises:
            ValueError: A tag is empty, or both are the same.
        """
        if open_tag == close_tag:
            raise ValueError(f"reasoning opens and closes with {open_tag!r}; the tags must differ")
        self.text = CompletionText(keeps_special=True)
        self.open_tag = open_tag
        self.close_tag = close_tag
        self._watch = PhraseWatch(self.text, (open_tag, close_tag))
        self._opened_by_prompt = False
        self._marks: list[_Mark] = []
        self.text.on_cut(self._cut)

    def follow(self, event: Event, tokenizer: Tokenizer) -> None:
        """Update from an event; `Prefilled` determines if the prompt opened the reasoning."""
        self.text.follow(event, tokenizer)
        if isinstance(event, Prefilled):
            end = tokenizer.decode(event.context_info.tokens[-_PROMPT_TAIL:])
            _, tag, after = end.rpartition(self.open_tag)
            self._opened_by_prompt = bool(tag) and not after.strip()
        while match := self._watch.find():
            end = self.text.cut(match.end)
            self._marks.append(_Mark(match, end.kept + bool(end.before)))

    @property
    def is_open(self) -> bool:
        """True while the model is reasoning."""
        if self._marks:
            return self._marks[-1].match.phrase == self.open_tag
        return self._opened_by_prompt

    @property
    def closing(self) -> PhraseMatch | None:
        """The tag that ended the last reasoning; `None` if there is none or it continues."""
        if self._marks and not self.is_open:
            return self._marks[-1].match
        return None

    @property
    def num_tokens(self) -> int:
        """The number of tokens since the opening tag; 0 outside of reasoning."""
        if not self.is_open:
            return 0
        begin = self._marks[-1].num_tokens if self._marks else 0
        return len(self.text.token_ids) - begin

    @property
    def partial_close_len(self) -> int:
        """The number of characters of the closing tag that the text ends with."""
        tail = self.text.tail(-len(self.close_tag))
        lengths = range(min(len(tail), len(self.close_tag) - 1), 0, -1)
        return next((n for n in lengths if tail.endswith(self.close_tag[:n])), 0)

    def _cut(self, num_chars: int) -> None:
        self._marks = [mark for mark in self._marks if mark.match.end <= num_chars]
