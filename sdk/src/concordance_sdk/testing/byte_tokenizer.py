"""A tokenizer whose tokens are bytes: every text round-trips, and tests are readable."""

from collections.abc import Sequence

from concordance_sdk.detokenizer import Detokenizer, PieceDetokenizer, TokenPiece

EOS = 256


class ByteTokenizer:
    """Ids 0-255 are bytes; 256 is the end-of-sequence token, named `<eos>`.

    Examples:
        >>> ByteTokenizer().encode("Hi<eos>")
        [72, 105, 256]
    """

    vocab_size = 257
    eos_token_ids = frozenset({EOS})
    special_token_ids = frozenset({EOS})

    def token_bytes(self, token_id: int) -> bytes:
        """Return the byte of a token, or `<eos>`."""
        return b"<eos>" if token_id == EOS else bytes([token_id])

    def detokenizer(self, *, keeps_special: bool = False) -> Detokenizer:
        """Return a new incremental detokenizer.

        Args:
            keeps_special: True if special tokens are part of the text, by name.
        """
        return PieceDetokenizer(self, skipped=() if keeps_special else self.special_token_ids)

    has_runs = False
    strip = ("", 0)

    def piece(self, token_id: int) -> TokenPiece:
        """Return the bytes that a token adds."""
        data = self.token_bytes(token_id)
        return TokenPiece(data, data)

    def encode(self, text: str) -> list[int]:
        """Return the bytes of a text; `<eos>` is recognized."""
        pieces = text.split("<eos>")
        token_ids = list(pieces[0].encode())
        for piece in pieces[1:]:
            token_ids += [EOS, *piece.encode()]
        return token_ids

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Decode bytes; invalid UTF-8 becomes U+FFFD."""
        kept = (i for i in token_ids if not (skip_special_tokens and i == EOS))
        return b"".join(map(self.token_bytes, kept)).decode("utf-8", "replace")
