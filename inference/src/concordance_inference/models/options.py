"""Options for loading a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct


class ModelOptions(Struct, frozen=True, kw_only=True):
    """Options of `load_model`."""

    #: The model's name in requests; by default, that of its folder or file, or its id on the hub.
    id: str | None = None
    #: Maximum length of prompt and completion in tokens; by default, read from the model.
    context_length: int | None = None
    #: Allow Python files in the model's folder to run: a tokenizer or an architecture.
    trust_remote_code: bool = False
    #: A folder of LoRA adapters, in the format of `mlx_lm.lora`.
    adapter_path: Path | None = None
    #: Keep the weights without the adapters (`LoadedModel.base`), for models that share them.
    shares_base: bool = False
    #: The weights without the adapters, by name, of a loaded model of the same folder.
    base: Mapping[str, Any] | None = None
    #: Sampling parameters of requests that set none: those of the model, or of OpenAI's API.
    sampling_defaults: Literal["model", "openai"] = "model"
    #: Mask the logits of gpt-oss so that each header of a message can be parsed.
    header_guard: bool = True
