"""Every change of a completion, token by token, for those who want to watch it."""

from collections.abc import Iterable

from concordance_sdk.request_state import Change

from concordance_inference.engine.decoder import Decoder
from concordance_inference.generation import Token, TokensDelta


class TokenStream:
    """Turns changes of a completion into what its watcher is told, with each token's text."""

    def __init__(self, decoder: Decoder) -> None:
        """Watch a completion that has no tokens yet."""
        self._decoder = decoder

    def deltas(self, changes: Iterable[Change]) -> list[TokensDelta]:
        """What to tell of some changes, in order."""
        return [self._delta(change) for change in changes]

    def _delta(self, change: Change) -> TokensDelta:
        self._decoder.truncate(change.kept)
        for token_id in change.added:
            self._decoder.append(token_id)
        texts = self._decoder.pieces[change.kept :]
        tokens = zip(change.added, texts, strict=True)
        return TokensDelta(
            kept=change.kept,
            tokens=tuple(Token(token_id=i, text=t, forced=change.forced) for i, t in tokens),
        )
