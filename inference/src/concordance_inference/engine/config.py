"""How an engine is set up."""

from collections.abc import Callable

from concordance_sdk import Tokenizer
from concordance_sdk.detokenizer import Detokenizer
from msgspec import Struct


class EngineConfig(Struct, frozen=True, kw_only=True):
    """Bounds of an engine's resources."""

    max_rows: int = 8  # requests that run together
    max_waiting: int = 256  # requests that wait for a row; more are refused
    chunk: int | None = None  # tokens of prompts that one step reads at most; `None`: by device
    adaptive_chunks: bool | None = None  # learn from steps; `None`: not if computed in 16 bits
    latency_target_s: float = 0.2  # of a step that reads prompts while others decode, in seconds
    kv_bytes: int | None = None  # what caches may take, in bytes; `None`: whatever they need
    prefix_bytes: int | None = None  # of it, what may be kept of earlier requests; `None`: 1/4


class ModelTraits(Struct, frozen=True, kw_only=True, eq=False):
    """What the engine has to know of a model beside its weights."""

    tokenizer: Tokenizer  # the mods'
    new_decoder: Callable[[], Detokenizer]
    vocab_size: int  # token ids are below this; the logits may be wider
    eos_ids: frozenset[int]
    missing_ids: frozenset[int] = frozenset()  # ids below `vocab_size` that no token has
    context_length: int  # tokens of prompt and completion together
    control_ids: frozenset[int] = frozenset()  # tokens that are never penalized
    format_ids: frozenset[int] = frozenset()  # tokens that XTC never drops: ends and new lines
