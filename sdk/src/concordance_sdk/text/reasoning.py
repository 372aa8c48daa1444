"""Where a model's reasoning begins and ends, by the tags that its chat format puts around it."""

from concordance_shared import Event, Prefilled
from msgspec import Struct

from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.text.phrases import PhraseMatch, PhraseWatch
from concordance_sdk.tokenizer import Tokenizer

#: How many of a prompt's last tokens are looked at for a tag that opens the reasoning. Only white
#: space stands behind it then: a tag elsewhere is one that the prompt speaks of.
_PROMPT_TAIL = 64


class _Mark(Struct, frozen=True):
    """A tag that was said."""

    match: PhraseMatch
    num_tokens: int  # of the completion, up to its end


class ReasoningSpan:
    """Follows the tags around a model's reasoning, in the prompt's end and in the completion.

    Attributes:
        text: The completion, special tokens spelled out, since tags may be such.

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
        """Follow the reasoning between two tags.

        Args:
            open_tag: What begins it, in the completion or at the end of the prompt.
            close_tag: What ends it.

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
        """Take in what an event tells; of `Prefilled`, whether the prompt opened the reasoning."""
        self.text.follow(event, tokenizer)
        if isinstance(event, Prefilled):
            end = tokenizer.decode(event.context_info.tokens[-_PROMPT_TAIL:])
            _, tag, behind = end.rpartition(self.open_tag)
            self._opened_by_prompt = bool(tag) and not behind.strip()
        while match := self._watch.find():
            end = self.text.cut(match.end)
            self._marks.append(_Mark(match, end.kept + bool(end.before)))

    @property
    def is_open(self) -> bool:
        """Whether the model is reasoning now."""
        if self._marks:
            return self._marks[-1].match.phrase == self.open_tag
        return self._opened_by_prompt

    @property
    def closing(self) -> PhraseMatch | None:
        """The tag that ended the last reasoning; `None` while there is none or it goes on."""
        if self._marks and not self.is_open:
            return self._marks[-1].match
        return None

    @property
    def num_tokens(self) -> int:
        """How many tokens the reasoning has so far, behind its tag; 0 outside of it."""
        if not self.is_open:
            return 0
        begin = self._marks[-1].num_tokens if self._marks else 0
        return len(self.text.token_ids) - begin

    @property
    def half_said(self) -> int:
        """How many characters of the closing tag stand at the end of the text already."""
        tail = self.text.tail(-len(self.close_tag))
        lengths = range(min(len(tail), len(self.close_tag) - 1), 0, -1)
        return next((n for n in lengths if tail.endswith(self.close_tag[:n])), 0)

    def _cut(self, num_chars: int) -> None:
        self._marks = [mark for mark in self._marks if mark.match.end <= num_chars]
