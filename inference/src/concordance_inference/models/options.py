"""The user's choices of how a model is loaded."""

from pathlib import Path

from msgspec import Struct


class ModelOptions(Struct, frozen=True, kw_only=True):
    """What `load_model` takes beside the model's name."""

    #: Positions that a prompt and its completion may take; found in the model if left out.
    context_length: int | None = None
    #: Whether to run Python files that the model's folder brings: a tokenizer or an architecture.
    trust_remote_code: bool = False
    #: A folder of LoRA adapters, as `mlx_lm.lora` writes it.
    adapter_path: Path | None = None
