"""A detokenizer for vocabularies defined by a function, for tests and benchmarks."""

from collections.abc import Callable, Collection

from concordance_sdk.detokenizer import Detokenizer, PieceDetokenizer, TokenPiece

__all__ = ["BytesDecoder", "Detokenizer"]


class BytesDecoder(PieceDetokenizer):
    """Detokenizes a vocabulary whose tokens are byte strings."""

    def __init__(
        self,
        token_bytes: Callable[[int], bytes],
        *,
        skipped: Collection[int] = (),
        strips_leading_space: bool = False,
    ) -> None:
        """Start without tokens.

        Args:
            token_bytes: Returns the bytes of a token; none for a special token.
            skipped: Tokens that are not part of the text.
            strips_leading_space: Drop a space at the start of the text.
        """
        super().__init__(_Given(token_bytes, (" ", int(strips_leading_space))), skipped=skipped)


class _Given:
    """A source of token pieces that calls a function."""

    has_runs = False

    def __init__(self, token_bytes: Callable[[int], bytes], strip: tuple[str, int]) -> None:
        self._token_bytes = token_bytes
        self.strip = strip

    def piece(self, token_id: int) -> TokenPiece:
        """Return the piece of a token."""
        data = self._token_bytes(token_id)
        return TokenPiece(data, data)
