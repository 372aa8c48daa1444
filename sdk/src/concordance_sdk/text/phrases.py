"""When a phrase appears in a completion, wherever the borders of tokens are."""

import re
from collections.abc import Sequence

from concordance_shared import Backtrack
from msgspec import Struct

from concordance_sdk.action_builder import Actions
from concordance_sdk.text.completion_text import CompletionText, Cut


class PhraseMatch(Struct, frozen=True, kw_only=True):
    """A phrase that appeared, as it was found: `cut` and `behind` tell of that moment.

    Examples:
        >>> from concordance_sdk import Added
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> text = CompletionText()
        >>> watch = PhraseWatch(text, "red", ignore_case=True)
        >>> added = Added(request_id="r", step=0, added_tokens=(*b"a Red hat",), forced=True)
        >>> text.follow(added, ByteTokenizer())
        >>> match = watch.find()
        >>> match.text, match.start, match.behind, match.cut.num_tokens
        ('Red', 2, ' hat', 7)
    """

    phrase: str  # the one that was looked for
    text: str  # as the completion spells it
    start: int  # characters of the completion before it
    cut: Cut  # what taking it back means in tokens

    @property
    def end(self) -> int:
        """Characters of the completion up to its end."""
        return self.start + len(self.text)

    @property
    def behind(self) -> str:
        """What stands behind it already, in its last token or in those added together with it."""
        return self.cut.behind[len(self.text) :]


class PhraseWatch:
    """Reports each appearance of some phrases in a completion, once.

    A phrase may begin and end inside tokens and go over several. Appearances do not overlap, and
    what was put in place of one is not looked at again.

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
    ) -> None:
        """Watch for phrases.

        Args:
            text: The completion, which the mod lets follow the events.
            phrases: One phrase or several; of several that appear at a place, the longest counts.
            ignore_case: Whether `Red` is `red`.
            whole_words: Whether a phrase counts only where no letter, digit or underscore touches
                it. It is then reported with the character that follows it, or at the end.

        Raises:
            ValueError: There is no phrase, or an empty one.
        """
        self._phrases = (phrases,) if isinstance(phrases, str) else tuple(phrases)
        if not self._phrases or not all(self._phrases):
            raise ValueError(
                f"watch for at least one phrase, and for none that is empty: {phrases!r}"
            )
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
        self._begin = 0  # where the search goes on
        self._done: list[int] = []  # ends of what was reported or put in place of that
        self._replaced: tuple[int, str] | None = None  # where, and by what, until it is seen
        text.on_cut(self._cut)

    def find(self) -> PhraseMatch | None:
        """The next appearance that was not reported yet, if there is one."""
        self._skip_replaced()
        text = self._text
        window_begin = max(0, self._begin - 1)  # one more, to see what touches it
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
        """The action that puts `text` in the place of a phrase, for answers to `Added`.

        Args:
            match: Where the phrase is.
            text: What takes its place; what stood behind the phrase follows it.
            actions: What the mod was given.
        """
        self._replaced = (match.start, text)
        return self._text.rewrite(match.start, text + match.behind, actions)

    def _is_undecided(self, found: re.Match[str], end: int) -> bool:
        """Whether a word may go on with what comes next."""
        return self._whole_words and found.end() == end and not self._text.is_final

    def _skip_replaced(self) -> None:
        if self._replaced is None:
            return
        start, text = self._replaced
        self._replaced = None
        if self._text.tail(start).startswith(text):
            self._set_done(start + len(text))

    def _set_done(self, end: int) -> None:
        """Look no more at what stands before `end`, as long as that stands."""
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
    """The action that replaces the last appearance of a phrase, or `None` if there is none.

    Everything from there on is taken back and forced again, so look for what is near the end.

    Args:
        completion: The text so far.
        phrase: What is looked for.
        text: What takes its place.
        actions: What the mod was given.

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
