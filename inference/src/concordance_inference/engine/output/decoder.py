"""Detokenizers of vocabularies that are given by a function, as in tests and benchmarks."""

from collections.abc import Callable

from concordance_sdk.detokenizer import Detokenizer, PieceDetokenizer, TokenPiece

__all__ = ["BytesDecoder", "Detokenizer"]


class BytesDecoder(PieceDetokenizer):
    """Detokenizes a vocabulary whose tokens are bytes, all decoded together."""

    def __init__(
        self, token_bytes: Callable[[int], bytes], *, strips_leading_space: bool = False
    ) -> None:
        """Start with no tokens.

        Args:
            token_bytes: The bytes of a token; none for a special one.
            strips_leading_space: A space at the start of the text is not part of it.
        """
        super().__init__(_Given(token_bytes, (" ", int(strips_leading_space))))


class _Given:
    """Pieces from a function."""

    has_runs = False

    def __init__(self, token_bytes: Callable[[int], bytes], strip: tuple[str, int]) -> None:
        self._token_bytes = token_bytes
        self.strip = strip

    def piece(self, token_id: int) -> TokenPiece:
        """What a token adds."""
        data = self._token_bytes(token_id)
        return TokenPiece(data, data)
