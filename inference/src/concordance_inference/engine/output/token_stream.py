"""Every edit of a completion, token by token, for clients that request it."""

from collections.abc import Iterable, Sequence

import msgspec
from concordance_sdk.detokenizer import Detokenizer
from concordance_sdk.host.request_state import Change

from concordance_inference.generation import Token, TokensDelta


class TokenStream:
    """Converts edits of a completion to updates for the client, with the text of each token."""

    def __init__(self, decoder: Detokenizer, given: Sequence[int] = ()) -> None:
        """Start with the beginning of a completion; updates count the tokens after it."""
        decoder.extend(given)
        self._decoder = decoder
        self._token_ids: list[int] = list(given)
        self._sources: list[tuple[bool, str | None]] = [(False, None)] * len(given)  # is forced, by
        self._num_given = len(given)

    def deltas(self, changes: Iterable[Change]) -> list[TokensDelta]:
        """Return the updates for edits, in order."""
        return [self._delta(change) for change in changes]

    def _delta(self, change: Change) -> TokensDelta:
        """Return the update for an edit.

        Earlier tokens are repeated if it changed their text, as when a later byte completes a
        character.
        """
        kept = self._decoder.truncate(change.kept)
        kept = min(kept, self._decoder.extend(change.added))
        num_removed = len(self._token_ids) - change.kept
        self._token_ids[change.kept :] = change.added
        self._sources[change.kept :] = [(change.forced, change.mod)] * len(change.added)
        delta = self._update(kept, self._decoder.pieces[kept:])
        if not num_removed:
            return delta
        return msgspec.structs.replace(delta, num_backtracked=num_removed, mod=change.mod)

    def last_delta(self) -> TokensDelta | None:
        """Return the update for text that changes when the completion ends, if any.

        Bytes of an incomplete character are text at the end only, and a run of byte tokens that
        is never completed is decoded differently at the end.
        """
        text, pieces = self._decoder.text(), self._decoder.pieces
        kept = begin = 0
        while kept < len(pieces) and text.startswith(pieces[kept], begin):
            begin += len(pieces[kept])
            kept += 1
        if kept == len(pieces) and begin == len(text):
            return None
        if kept == len(pieces):  # the rest is an incomplete character of the last token
            kept -= 1
            begin -= len(pieces[kept])
        count, rest = len(pieces) - kept, text[begin:]
        return self._update(kept, [*rest] if len(rest) == count else [*[""] * (count - 1), rest])

    def _update(self, kept: int, texts: Sequence[str]) -> TokensDelta:
        """Create the update for the tokens from `kept` on."""
        skipped = max(0, self._num_given - kept)
        kept, texts = kept + skipped, texts[skipped:]
        tokens = zip(self._token_ids[kept:], texts, self._sources[kept:], strict=True)
        return TokensDelta(
            kept=kept - self._num_given,
            tokens=tuple(
                Token(token_id=token_id, text=text, forced=forced, mod=mod)
                for token_id, text, (forced, mod) in tokens
            ),
        )
