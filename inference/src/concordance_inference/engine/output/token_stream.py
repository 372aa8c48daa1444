"""Every change of a completion, token by token, for those who want to watch it."""

from collections.abc import Iterable, Sequence

import msgspec
from concordance_sdk.detokenizer import Detokenizer
from concordance_sdk.host.request_state import Change

from concordance_inference.generation import Token, TokensDelta


class TokenStream:
    """Turns changes of a completion into what its watcher is told, with each token's text."""

    def __init__(self, decoder: Detokenizer) -> None:
        """Watch a completion that has no tokens yet."""
        self._decoder = decoder
        self._token_ids: list[int] = []
        self._sources: list[tuple[bool, str | None]] = []  # per token: is forced, by which mod

    def deltas(self, changes: Iterable[Change]) -> list[TokensDelta]:
        """What to tell of some changes, in order."""
        return [self._delta(change) for change in changes]

    def _delta(self, change: Change) -> TokensDelta:
        """A change; tokens before it are told again if it changed their text."""
        kept = self._decoder.truncate(change.kept)
        kept = min(kept, self._decoder.extend(change.added))
        num_removed = len(self._token_ids) - change.kept
        self._token_ids[change.kept :] = change.added
        self._sources[change.kept :] = [(change.forced, change.mod)] * len(change.added)
        delta = self._told(kept, self._decoder.pieces[kept:])
        if not num_removed:
            return delta
        return msgspec.structs.replace(delta, num_backtracked=num_removed, mod=change.mod)

    def last_delta(self) -> TokensDelta | None:
        """What the completion's end changes of what was told, or `None`.

        An incomplete run of byte tokens reads differently at the end than on the way there, and
        half a character is text at the end only.
        """
        text, pieces = self._decoder.text(), self._decoder.pieces
        kept = begin = 0
        while kept < len(pieces) and text.startswith(pieces[kept], begin):
            begin += len(pieces[kept])
            kept += 1
        if kept == len(pieces) and begin == len(text):
            return None
        if kept == len(pieces):  # what is left belongs to the last token: half a character
            kept -= 1
            begin -= len(pieces[kept])
        count, rest = len(pieces) - kept, text[begin:]
        return self._told(kept, [*rest] if len(rest) == count else [*[""] * (count - 1), rest])

    def _told(self, kept: int, texts: Sequence[str]) -> TokensDelta:
        """The tokens from `kept` on, with their texts."""
        tokens = zip(self._token_ids[kept:], texts, self._sources[kept:], strict=True)
        return TokensDelta(
            kept=kept,
            tokens=tuple(
                Token(token_id=token_id, text=text, forced=forced, mod=mod)
                for token_id, text, (forced, mod) in tokens
            ),
        )
