"""A tiny vocabulary with Harmony's tokens: bytes, and an id for each structural token."""

from concordance_inference.engine.config import ModelTraits
from concordance_inference.harmony.vocabulary import NAMES, harmony_tokens
from concordance_sdk.detokenizer import PieceDetokenizer, TokenPiece

#: The ids of the structural tokens by name, and of one that is reserved.
IDS = {name: 256 + i for i, name in enumerate([*NAMES.values(), "<|reserved|>"])}
_NAMES = {token_id: name for name, token_id in IDS.items()}
VOCAB = 256 + len(IDS)
TOKENS = harmony_tokens(IDS)


class HarmonyBytes:
    """Ids below 256 are bytes; the others are special tokens."""

    vocab_size = VOCAB
    eos_token_ids = TOKENS.stop_ids
    special_token_ids = frozenset(IDS.values())
    has_runs = False
    strip = ("", 0)

    def token_bytes(self, token_id):
        return _NAMES[token_id].encode() if token_id in _NAMES else bytes([token_id])

    def detokenizer(self, *, keeps_special=False, skipped=(), kept=()):
        special = frozenset() if keeps_special else self.special_token_ids.difference(kept)
        return PieceDetokenizer(self, skipped=special.union(skipped))

    def piece(self, token_id):
        data = self.token_bytes(token_id)
        return TokenPiece(data, data)

    def encode(self, text):
        """Names of special tokens become the tokens."""
        ids = []
        while text:
            name = next((name for name in IDS if text.startswith(name)), None)
            ids += [IDS[name]] if name else text[0].encode()
            text = text[len(name or text[0]) :]
        return ids

    def decode(self, token_ids, *, skip_special_tokens=False):
        kept = (i for i in token_ids if not (skip_special_tokens and i in self.special_token_ids))
        return b"".join(map(self.token_bytes, kept)).decode("utf-8", "replace")


TOKENIZER = HarmonyBytes()
TRAITS = ModelTraits(
    tokenizer=TOKENIZER,
    new_decoder=TOKENIZER.detokenizer,
    vocab_size=VOCAB,
    eos_ids=TOKENS.stop_ids,
    context_length=4096,
    control_ids=TOKENIZER.special_token_ids,
)


def named(text):
    """The token ids of a text, with the structural tokens by name."""
    return TOKENIZER.encode(text)
