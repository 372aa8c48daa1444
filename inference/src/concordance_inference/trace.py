"""Every token of a completion, also the backtracked ones, and where each came from."""

from typing import Literal

from msgspec import Struct, structs

from concordance_inference.generation import Token, TokensDelta

Provenance = Literal["sampled", "forced", "backtracked"]


class TracedToken(Struct, frozen=True, kw_only=True):
    """A token that is, or was, part of a completion.

    Attributes:
        token_id: The token.
        text: The text it adds; empty for a special token and for part of a character.
        forced: True if a mod put it there.
        forced_by: The mod that did.
        backtracked: True if a mod removed it later.
        backtracked_by: The mod that did.
    """

    token_id: int
    text: str
    forced: bool = False
    forced_by: str | None = None
    backtracked: bool = False
    backtracked_by: str | None = None

    @property
    def provenance(self) -> Provenance:
        """What happened to it last."""
        if self.backtracked:
            return "backtracked"
        return "forced" if self.forced else "sampled"


class TokenTrace:
    """Follows a completion; keeps backtracked tokens in front of those that replaced them."""

    def __init__(self) -> None:
        """Follow a completion that has no tokens yet."""
        self._entries: list[TracedToken] = []
        self._current: list[int] = []  # indices of the entries that are in the completion

    @property
    def tokens(self) -> tuple[TracedToken, ...]:
        """Every token so far, in order of the text."""
        return tuple(self._entries)

    def apply(self, delta: TokensDelta) -> None:
        """Apply a change of the completion."""
        for _ in range(delta.num_backtracked):
            i = self._current.pop()
            self._entries[i] = structs.replace(
                self._entries[i], backtracked=True, backtracked_by=delta.mod
            )
        for position, token in enumerate(delta.tokens, start=delta.kept):
            self._put(position, token)

    def _put(self, position: int, token: Token) -> None:
        """Append a token, or update one whose text has changed."""
        entry = TracedToken(
            token_id=token.token_id, text=token.text, forced=token.forced, forced_by=token.mod
        )
        if position < len(self._current):
            self._entries[self._current[position]] = entry
        else:
            self._current.append(len(self._entries))
            self._entries.append(entry)
