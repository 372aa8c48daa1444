"""The tokenizers of the served models, which the zygote loads and its workers share."""

import os
from contextlib import suppress
from typing import Any

from concordance_sdk.testing import ByteTokenizer
from concordance_sdk.tokenizer import Tokenizer
from msgspec import Struct

from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_inference.sandbox.protocol.control import AddModel

#: Read by the package `tokenizers`: a worker cannot start the threads of a batch.
NO_THREADS = "TOKENIZERS_PARALLELISM"


class WorkerModel(Struct, frozen=True, eq=False):
    """What a worker needs of a model.

    Attributes:
        tokenizer: The tokenizer.
        width: Width of the model's logits.
    """

    tokenizer: Tokenizer
    width: int


#: The state of a tokenizer is at most this long.
_MAX_STATE = 1 << 30


def state_of(fd: int) -> bytes:
    """Read the state of a tokenizer from the beginning of a descriptor, which stays open."""
    return os.pread(fd, min(os.fstat(fd).st_size, _MAX_STATE), 0)


def load_model(spec: AddModel, state: bytes, *, prepares: bool = False) -> WorkerModel:
    """Load a tokenizer.

    Args:
        spec: Its description.
        state: Its serialized state.
        prepares: Compute what several workers would compute each for itself.

    Raises:
        Exception: It cannot be loaded.
    """
    if spec.kind == "bytes":
        return WorkerModel(ByteTokenizer(), spec.width)
    os.putenv(NO_THREADS, "false")
    tokenizer = ModelTokenizer(_Backend(state), eos_token_ids=spec.eos_ids, vocab_size=spec.width)
    if prepares:
        _prepare(tokenizer)
    return WorkerModel(tokenizer, spec.width)


def _prepare(tokenizer: ModelTokenizer) -> None:
    """Compute the tokens as constraints need them, and run the code that encodes."""
    from concordance_sdk.constraints.vocabulary import vocabulary_of  # noqa: PLC0415
    from concordance_shared import ConstraintError  # noqa: PLC0415

    with suppress(ConstraintError):  # each constraint raises it again
        vocabulary_of(tokenizer)
    tokenizer.decode(tokenizer.encode("a b"))


class _Backend:
    """A tokenizer of the package `tokenizers`, with the attributes that `ModelTokenizer` reads."""

    def __init__(self, state: bytes) -> None:
        from tokenizers import Tokenizer as Backend  # noqa: PLC0415  # after the variable is set

        self.backend_tokenizer: Any = Backend.from_str(state.decode())
        self.added_tokens_decoder: Any = self.backend_tokenizer.get_added_tokens_decoder()

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))
