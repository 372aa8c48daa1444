"""Settings of an engine, and the traits of the model that it runs."""

from collections.abc import Callable

from concordance_sdk import Tokenizer
from concordance_sdk.detokenizer import Detokenizer
from msgspec import Struct


class EngineConfig(Struct, frozen=True, kw_only=True):
    """Bounds of an engine's resources."""

    max_rows: int = 8  # requests that run together
    max_waiting: int = 256  # requests that wait for a row; more are rejected
    max_waiting_per_owner: int | None = None  # of them those of an owner of keys; `None`: all
    queue_s: float | None = None  # that a request may wait for a row; `None`: for any time
    chunk: int | None = None  # maximum prompt tokens of one step; `None`: by device
    adaptive_chunks: bool | None = None  # size chunks by measured time; `None`: not in 16 bits
    latency_target_s: float = 0.2  # of a step that prefills while other rows decode, in seconds
    num_candidates: int | None = None  # logits sorted for top-k and top-p; `None`: by device
    step_limit_s: float = 60.0  # a step that takes longer is reported as one that does not return
    kv_bytes: int | None = None  # of all caches; `None`: unbounded
    max_paused: int = 16  # requests that commands have paused; more are refused
    pause_limit_s: float = 600.0  # after which a paused request continues
    ends_paused: bool = False  # a paused request ends with an error at the limit instead
    prefix_bytes: int | None = None  # of `kv_bytes`, for the prefix cache; `None`: a quarter
    resume_s: float = 300.0  # for which a completion that was cut can be resumed; 0: never


class ModelTraits(Struct, frozen=True, kw_only=True, eq=False):
    """What the engine needs of a model besides its weights."""

    tokenizer: Tokenizer  # passed to mods
    new_decoder: Callable[..., Detokenizer]  # as `ModelTokenizer.detokenizer`
    vocab_size: int  # token ids are below this; the logits may be wider
    eos_ids: frozenset[int]
    missing_ids: frozenset[int] = frozenset()  # ids below `vocab_size` without a token
    context_length: int  # tokens of prompt and completion together
    control_ids: frozenset[int] = frozenset()  # tokens that are never penalized, and end messages
    header_ids: frozenset[int] = frozenset()  # those of them after which a header follows
    format_ids: frozenset[int] = frozenset()  # tokens that XTC never drops: ends and new lines
