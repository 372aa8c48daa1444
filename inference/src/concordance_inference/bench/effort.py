"""How much is measured."""

from msgspec import Struct


class Effort(Struct, frozen=True, kw_only=True):
    """How long to measure."""

    rounds: int  # of which medians are told
    decode_tokens: int  # that a decoding round has
    prefill_tokens: int = 256
    contexts: tuple[int, ...] = (128, 2000, 8000)  # tokens
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)  # rows
    long_prompt: int = 2000  # tokens of the prompt that is admitted beside running rows
    short_requests: int = 2000
