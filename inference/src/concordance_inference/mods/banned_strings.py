"""The mod of the field `banned_strings`, which bans texts from the completion."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from concordance_sdk import Actions, Added, Backtrack, Follower, Tokenizer, mod
from concordance_sdk.host import definition_of
from concordance_sdk.request_context import current_request
from concordance_sdk.text import PhraseBan

from concordance_inference.generation import ModCall

if TYPE_CHECKING:
    from concordance_sdk.holds import Hold

#: Limits of the field: its texts, and the characters of each.
MAX_STRINGS, MAX_LENGTH = 64, 256


class HeldPhraseBan(PhraseBan):
    """Bans phrases anywhere, also inside words, and holds back only what may begin one.

    `PhraseBan` holds back a fixed number of tokens. Here, with "bad" banned:

        completion   a b o a r d   b a     held from
        open                       b a     " ba", in which a banned text may begin
    """

    def __init__(self, phrases: Sequence[str]) -> None:
        """Ban phrases, in any case."""
        super().__init__(phrases, ignore_case=True, whole_words=False)
        folded = [_folded(phrase) for phrase in phrases]
        self._begins = {phrase[:n] for phrase in folded for n in range(1, len(phrase))}
        self._firsts = {phrase[0] for phrase in folded}
        self._longest = max(map(len, folded)) - 1
        self._hold: Hold | None = None
        self._closed: dict[int, int] = {}  # results of `_closed_to`
        self.text.on_cut(self._forget)

    @property
    def max_backtrack(self) -> int:
        """Nothing beyond what is held while the request runs."""
        return 0

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Backtrack | None:
        """Backtrack over a phrase that is complete; hold back the beginning of another."""
        action = super().added(event, actions, tokenizer)
        length = len(self.text.token_ids) - (action.n if action else 0)
        kept = self._num_closed(length)
        self._hold_from(kept if kept < length or action else None)
        return action

    def _num_closed(self, length: int) -> int:
        """Return how many of the first `length` tokens no later token can make part of a phrase."""
        text = self.text
        end = len(text) - len(text.between(length, len(text.token_ids)))
        return min(length, text.cut(self._closed_to(end)).kept)

    def _closed_to(self, end: int) -> int:
        """Return where the text may change, as far as phrases are concerned.

        A phrase may begin where the text ends in the beginning of one. Backtracking to there
        leaves a text that may end in the beginning of another, and so on:

            banned "bbc"    text b b b b    "bb" may begin it; then the "bb" before it may
        """
        visited: list[int] = []
        while end not in self._closed and (begin := self._first_open(end)) < end:
            visited.append(end)
            end = begin
        closed = self._closed.setdefault(end, end)
        self._closed.update(dict.fromkeys(visited, closed))
        return closed

    def _first_open(self, end: int) -> int:
        """Return the first character from which the text up to `end` is the beginning of one."""
        start = max(0, end - self._longest)
        tail = _folded(self.text.tail(start)[: end - start])
        for i, character in enumerate(tail):
            if character in self._firsts and tail[i:] in self._begins:
                return start + i
        return end

    def _forget(self, num_chars: int) -> None:
        self._closed = {end: to for end, to in self._closed.items() if end <= num_chars}

    def _hold_from(self, step: int | None) -> None:
        request = current_request()
        if request is None:
            return
        request.holds.release(self._hold)
        self._hold = None if step is None else request.holds.add(step)


@mod(name="banned_strings", max_backtrack=0, logits="none", registered=False)
class BannedStrings:
    """Bans texts: backtracks over one when it appears, and masks how it began."""

    strings: list[str]

    def parts(self) -> list[Follower]:
        """The ban."""
        return [HeldPhraseBan(self.strings)]


_DEFINITION = definition_of(BannedStrings)


def with_banned_strings(
    mods: Sequence[ModCall], strings: Sequence[str] | None
) -> tuple[ModCall, ...]:
    """Return the mods of a request and, after them, the one that bans its texts."""
    if not strings:
        return tuple(mods)
    parameters = {"strings": list(dict.fromkeys(strings))}
    return (*mods, ModCall(definition=_DEFINITION, parameters=parameters, name="banned_strings"))


def _folded(text: str) -> str:
    """The text with one lower-case character for each of its own."""
    return "".join(map(_folded_character, text))


def _folded_character(character: str) -> str:
    if character in "\u0130\u0131":  # the dotted and dotless i, which match "i" in any case
        return "i"
    for folded in (character.upper().lower(), character.lower()):
        if len(folded) == 1:
            return folded
    return character
