"""Where the sentences of a completion end."""

import re

from concordance_sdk.text.completion_text import CompletionText

#: Marks that end a sentence before a space, with the quotes and brackets that close behind them;
#: and those of scripts that put no space behind a sentence.
_END = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]")

#: The same at the end of a completion, where nothing follows.
_LAST_END = re.compile(_END.pattern.replace(r"(?=\s)", r"(?=\s|$)"))

#: How far back a mark may stand for which a space is still awaited.
_MARGIN = 8


class SentenceCount:
    """Counts the sentences that a completion has ended, and knows where they end.

    An end is one when a space follows, or when the completion is over: `3.5` ends nothing.
    Abbreviations with a period count, since no rule tells them from the end of a sentence.

    Attributes:
        ends: Characters of the completion up to the end of each sentence.

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

    def __init__(self, text: CompletionText) -> None:
        """Count the sentences of a completion, which the mod lets follow the events."""
        self.ends: list[int] = []
        self._text = text
        self._begin = 0  # where the search goes on
        text.on_cut(self._cut)

    def count(self) -> int:
        """How many sentences have ended so far."""
        pattern = _LAST_END if self._text.is_final else _END
        window = self._text.tail(self._begin)
        for found in pattern.finditer(window):
            self.ends.append(self._begin + found.end())
        known = self.ends[-1] if self.ends else 0
        self._begin = max(known, self._begin, len(self._text) - _MARGIN)
        return len(self.ends)

    def _cut(self, num_chars: int) -> None:
        """An end stands as long as what follows it does."""
        self.ends = [end for end in self.ends if end < num_chars]
        known = self.ends[-1] if self.ends else 0
        self._begin = max(known, min(self._begin, num_chars - _MARGIN), 0)
