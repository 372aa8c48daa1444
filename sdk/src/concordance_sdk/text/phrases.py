"""Search for phrases in a completion, independent of token boundaries."""

import re
from collections.abc import Iterable, Sequence
from typing import cast

from concordance_shared import Backtrack
from msgspec import Struct

from concordance_sdk.action_builder import Actions
from concordance_sdk.definition import DEFAULT_MAX_BACKTRACK
from concordance_sdk.request_context import ends_hidden
from concordance_sdk.text.completion_text import CompletionText, Cut

#: UTF-8 bytes of the longest character: the one after a phrase shows whether a word is complete.
_MAX_CHAR_BYTES = 4


class PhraseMatch(Struct, frozen=True, kw_only=True):
    """An occurrence of a phrase. `cut` and `after` are as of the moment it was found.

    Examples:
        >>> from concordance_sdk import Added
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> text = CompletionText()
        >>> watch = PhraseWatch(text, "red", ignore_case=True)
        >>> added = Added(request_id="r", step=0, added_tokens=(*b"a Red hat",), forced=True)
        >>> text.follow(added, ByteTokenizer())
        >>> match = watch.find()
        >>> match.text, match.start, match.after, match.cut.num_tokens
        ('Red', 2, ' hat', 7)
    """

    phrase: str  # the phrase searched for
    text: str  # as it is written in the completion
    start: int  # the position of its first character
    cut: Cut  # what to backtrack to remove it

    @property
    def end(self) -> int:
        """The position after its last character."""
        return self.start + len(self.text)

    @property
    def after(self) -> str:
        """The text after it, in its last token or in tokens added together with it."""
        return self.cut.after[len(self.text) :]


class PhraseWatch:
    """Reports each occurrence of some phrases in a completion once.

    A phrase can begin and end inside tokens and span several. Occurrences do not overlap, and the
    text that replaced one is not searched again.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... class Redact:
        ...     def __init__(self):
        ...         self.text = CompletionText()
        ...         self.secret = PhraseWatch(self.text, "42")
        ...
        ...     def added(self, event, actions, tokenizer):
        ...         self.text.follow(event, tokenizer)
        ...         if match := self.secret.find():
        ...             return self.secret.replace(match, "##", actions)
        >>> play(Redact, says="my key is 42!").text
        'my key is ##!'
    """

    def __init__(
        self,
        text: CompletionText,
        phrases: str | Sequence[str],
        *,
        ignore_case: bool = False,
        whole_words: bool = False,
        begin: int = 0,
    ) -> None:
        """Search for phrases.

        Args:
            text: The completion; the mod calls its `follow`.
            phrases: One phrase or several; if several match at a position, the longest is reported.
            ignore_case: True to ignore case.
            whole_words: True to match only where no letter, digit or underscore is adjacent. A
                match is then reported with the character after it, or at the end of the completion.
            begin: The character at which the search begins.

        Raises:
            ValueError: There is no phrase, an empty one, or one that is not a text.
        """
        self._phrases = phrases_from(phrases)
        self._text = text
        self._longest = max(map(len, self._phrases))
        self._whole_words = whole_words
        ordered = sorted(self._phrases, key=len, reverse=True)
        any_of_them = "|".join(f"({re.escape(phrase)})" for phrase in ordered)
        self._names = ordered
        border = (r"(?<!\w)", r"(?!\w)") if whole_words else ("", "")
        self._pattern = re.compile(
            f"{border[0]}(?:{any_of_them}){border[1]}", re.IGNORECASE if ignore_case else 0
        )
        self._begin = begin  # where the search continues
        #: Ends of reported occurrences, or of their replacements.
        self._done: list[int] = [begin] if begin else []
        self._replaced: tuple[int, str] | None = None  # start and text, until it is in the text
        text.on_cut(self._cut)

    def close(self) -> None:
        """Stop following the text."""
        self._text.off_cut(self._cut)

    def find(self) -> PhraseMatch | None:
        """Return the next occurrence that was not reported yet, or `None`.

        The question of a self-prompt that erases is not searched.
        """
        text = self._text
        if ends_hidden(len(text.token_ids)):
            return None
        self._skip_replaced()
        window_begin = max(0, self._begin - 1)  # one more character, for `\b` and the like
        window = text.tail(window_begin)
        found = self._pattern.search(window, self._begin - window_begin)
        if found is None or self._is_undecided(found, len(window)):
            open_begin = len(text) - self._longest + (0 if self._whole_words else 1)
            self._begin = max(self._begin, open_begin)
            return None
        start = window_begin + found.start()
        self._set_done(window_begin + found.end())
        return PhraseMatch(
            phrase=self._names[(found.lastindex or 1) - 1],
            text=found[0],
            start=start,
            cut=text.cut(start),
        )

    def replace(self, match: PhraseMatch, text: str, actions: Actions) -> Backtrack | None:
        """Return the action that replaces an occurrence by `text`. For handlers of `Added`.

        Args:
            match: The occurrence.
            text: The replacement; the text after the occurrence is kept.
            actions: The `actions` that the mod received.
        """
        self._replaced = (match.start, text)
        return self._text.rewrite(match.start, text + match.after, actions)

    def _is_undecided(self, found: re.Match[str], end: int) -> bool:
        """True if the next token may continue a word, so that a match is not certain yet."""
        return self._whole_words and found.end() == end and not self._text.is_final

    def _skip_replaced(self) -> None:
        if self._replaced is None:
            return
        start, text = self._replaced
        self._replaced = None
        written = self._text.tail(start)
        if self._text.is_final and text.startswith(written):  # the budget cut the replacement
            self._set_done(start + len(written))
        elif written.startswith(text):
            self._set_done(start + len(text))

    def _set_done(self, end: int) -> None:
        """Exclude the text before `end` from the search, until it is removed."""
        self._done.append(end)
        self._begin = end

    def _cut(self, num_chars: int) -> None:
        while self._done and self._done[-1] > num_chars:
            self._done.pop()
        done = self._done[-1] if self._done else 0
        self._begin = max(done, min(self._begin, num_chars - self._longest))


def replace_last(
    completion: CompletionText, phrase: str, text: str, actions: Actions
) -> Backtrack | None:
    """Return the action that replaces the last occurrence of a phrase; `None` if there is none.

    Backtracks and forces everything after it, so it is meant for phrases near the end.

    Args:
        completion: The text so far.
        phrase: The phrase.
        text: The replacement.
        actions: The `actions` that the mod received.

    Examples:
        >>> from concordance_sdk import Added, mod
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... class Last:
        ...     def __init__(self):
        ...         self.text = CompletionText()
        ...
        ...     def added(self, event, actions, tokenizer):
        ...         self.text.follow(event, tokenizer)
        ...         if self.text.tail(-1) == "?":
        ...             return replace_last(self.text, "one?", "two!", actions)
        >>> play(Last, says="one, one?").text
        'one, two!'
    """
    whole = str(completion)
    at = whole.rfind(phrase)
    if at < 0:
        return None
    return completion.rewrite(at, text + whole[at + len(phrase) :], actions)


def phrases_from(phrases: str | Sequence[str]) -> tuple[str, ...]:
    """Return one phrase or several as a tuple.

    Raises:
        ValueError: There is no phrase, an empty one, or one that is not a text.
    """
    if not isinstance(cast(object, phrases), Iterable):
        raise ValueError(f"phrases are a list of texts, not {phrases!r:.60}")  # noqa: TRY004
    several = (phrases,) if isinstance(phrases, str) else tuple(phrases)
    for phrase in several:
        if not isinstance(phrase, str):  # type: ignore[redundant-expr]
            raise ValueError(f"a phrase is a text, not {phrase!r:.60}")  # noqa: TRY004
    if not several or not all(several):
        raise ValueError(f"watch for at least one phrase, none of which is empty: {phrases!r}")
    return several


def max_backtrack_for(phrases: str | Sequence[str]) -> int:
    """Return how many tokens a stream must hold back for a mod that backtracks over phrases.

    A token may be a single byte, so this is the number of bytes of the longest phrase and of the
    character after it; at least the default.

    Examples:
        >>> max_backtrack_for(["###"]), max_backtrack_for(["x" * 40])
        (32, 44)
    """
    longest = max(len(phrase.encode()) for phrase in phrases_from(phrases)) + _MAX_CHAR_BYTES
    return max(longest, DEFAULT_MAX_BACKTRACK)
