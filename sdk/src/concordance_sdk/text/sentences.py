"""Counts the sentences of a completion."""

import re

from concordance_sdk.request_context import ends_hidden
from concordance_sdk.text.completion_text import CompletionText

#: The end of a sentence: marks that are followed by white space, with closing quotes and brackets;
#: and full stops of scripts that put no space after a sentence.
_END = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]")

#: The same at the end of a completion.
_LAST_END = re.compile(_END.pattern.replace(r"(?=\s)", r"(?=\s|$)"))

#: Maximum distance of a mark from the end of the text while the following space is missing.
_MARGIN = 8


class SentenceCount:
    """Counts the complete sentences of a completion and records where they end.

    A mark ends a sentence if white space follows, or if the completion is over: `3.5` ends none.
    Abbreviations with a period count, since no rule distinguishes them.

    Attributes:
        ends: The position of the end of each sentence, in characters.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... class Brief:
        ...     def __init__(self):
        ...         self.text = CompletionText()
        ...         self.sentences = SentenceCount(self.text)
        ...
        ...     def added(self, event, actions, tokenizer):
        ...         self.text.follow(event, tokenizer)
        ...         if self.sentences.count() == 2:
        ...             return self.text.end(self.sentences.ends[-1], actions)
        >>> play(Brief, script="It is 3.5 km. Not far! Go on.").text
        'It is 3.5 km. Not far!'
    """

    def __init__(self, text: CompletionText, *, begin: int = 0) -> None:
        """Count the sentences of a completion from a character on; the mod calls its `follow`."""
        self.ends: list[int] = []
        self._text = text
        self._first = begin  # where the first sentence begins
        self._begin = begin  # where the search continues
        text.on_cut(self._cut)

    def count(self) -> int:
        """Return the number of complete sentences so far."""
        if ends_hidden(len(self._text.token_ids)):
            return len(self.ends)
        pattern = _LAST_END if self._text.is_final else _END
        window = self._text.tail(self._begin)
        for found in pattern.finditer(window):
            self.ends.append(self._begin + found.end())
        known = self.ends[-1] if self.ends else 0
        self._begin = max(known, self._begin, len(self._text) - _MARGIN)
        return len(self.ends)

    def close(self) -> None:
        """Stop following the text."""
        self._text.off_cut(self._cut)

    def _cut(self, num_chars: int) -> None:
        """Remove the ends that are no longer followed by text."""
        self.ends = [end for end in self.ends if end < num_chars]
        self._first = min(self._first, num_chars)
        known = self.ends[-1] if self.ends else self._first
        self._begin = max(known, min(self._begin, num_chars - _MARGIN))
