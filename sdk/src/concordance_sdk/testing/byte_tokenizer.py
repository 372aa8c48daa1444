"""A tokenizer whose tokens are bytes: every text round-trips, and tests read well."""

from collections.abc import Sequence

EOS = 256


class ByteTokenizer:
    """Ids 0-255 are bytes, 256 ends the completion and is spelled `<eos>`."""

    vocab_size = 257
    eos_token_ids = frozenset({EOS})
    special_token_ids = frozenset({EOS})

    def token_bytes(self, token_id: int) -> bytes:
        """The byte that a token is, or `<eos>`."""
        return b"<eos>" if token_id == EOS else bytes([token_id])

    def encode(self, text: str) -> list[int]:
        """The bytes of a text; `<eos>` is recognised."""
        pieces = text.split("<eos>")
        token_ids = list(pieces[0].encode())
        for piece in pieces[1:]:
            token_ids += [EOS, *piece.encode()]
        return token_ids

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of some bytes; what is not UTF-8 becomes U+FFFD."""
        pieces: list[bytearray] = [bytearray()]
        for token_id in token_ids:
            if token_id == EOS:
                pieces.append(bytearray())
            else:
                pieces[-1].append(token_id)
        end = "" if skip_special_tokens else "<eos>"
        return end.join(piece.decode("utf-8", "replace") for piece in pieces)
