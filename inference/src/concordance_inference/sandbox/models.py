"""The models that workers can work for: their tokenizers, as data."""

from typing import Any

from concordance_sdk.testing import ByteTokenizer
from concordance_sdk.tokenizer import Tokenizer
from msgspec import Struct


class SandboxModel(Struct, frozen=True, eq=False):
    """A model, as far as mods see it.

    Attributes:
        id: Its id in the sandbox.
        kind: How workers load the tokenizer: `fast` or `bytes`.
        state: The tokenizer's serialized state.
        eos_ids: The tokens that end a completion.
        width: Width of the model's logits.
    """

    id: str
    kind: str
    state: bytes
    eos_ids: tuple[int, ...]
    width: int


def sandbox_model(id: str, tokenizer: Tokenizer, *, width: int) -> SandboxModel:  # noqa: A002
    """Describe a model.

    Args:
        id: Its id.
        tokenizer: Its tokenizer: a `ModelTokenizer`, or the SDK's `ByteTokenizer`.
        width: Width of its logits.

    Raises:
        ValueError: Workers cannot load such a tokenizer.
    """
    eos_ids = tuple(sorted(tokenizer.eos_token_ids))
    if isinstance(tokenizer, ByteTokenizer):
        return SandboxModel(id, "bytes", b"", eos_ids, width)
    backend: Any = getattr(getattr(tokenizer, "hf", None), "backend_tokenizer", None)
    if backend is None:
        raise ValueError(
            f"workers cannot load the tokenizer of model {id!r}: it is not one of the package "
            "`tokenizers`"
        )
    try:
        state = str(backend.to_str()).encode()
    except Exception as exc:  # a component in Python
        raise ValueError(
            f"workers cannot load the tokenizer of model {id!r}: it cannot be serialized: {exc}"
        ) from exc
    return SandboxModel(id, "fast", state, eos_ids, width)
