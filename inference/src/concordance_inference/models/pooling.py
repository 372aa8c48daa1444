"""How an embedding model makes one vector of a text, in the files of sentence-transformers.

`modules.json` lists the steps: the transformer, a pooling, and usually a normalization.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

Mode = Literal["cls", "mean", "max", "lasttoken"]

#: Keys of the older form of `1_Pooling/config.json`, each true or false.
_OLD_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


class Pooling(Struct, frozen=True, kw_only=True):
    """The steps after the transformer."""

    mode: Mode
    normalizes: bool
    prefix: str = ""  # of every text


def pooling_of(folder: Path) -> Pooling | str:
    """Return the pooling of a model; a sentence that says why it is no embedding model."""
    modules = _read(folder / "modules.json", list)
    if not modules:
        return "it has no modules.json, so it is no embedding model of sentence-transformers"
    if fault := _fault(folder):
        return fault
    steps = {str(module.get("type", "")).rpartition(".")[2]: module for module in modules}
    other = [name for name in steps if name not in ("Transformer", "Pooling", "Normalize")]
    if other or "Pooling" not in steps:
        return (
            f"its modules.json has {', '.join(steps)}; a transformer, a pooling and a "
            "normalization are supported"
        )
    config = _read(folder / str(steps["Pooling"].get("path", "1_Pooling")) / "config.json", dict)
    mode = _mode(config)
    if mode not in get_args(Mode):
        return f"its pooling {mode!r} is not one of {', '.join(get_args(Mode))}"
    prefix = _prefix(folder)
    if prefix and config.get("include_prompt") is False:
        return "its pooling leaves out the tokens of the prompt, which is not supported"
    return Pooling(mode=mode, normalizes="Normalize" in steps, prefix=prefix)


def _fault(folder: Path) -> str | None:
    config = _read(folder / "config.json", dict)
    if config.get("use_bidirectional_attention") or config.get("is_causal") is False:
        return "its attention is bidirectional, and mlx-lm's models are causal"
    return None


def _mode(config: dict[str, Any]) -> Any:
    """The mode in the newer form, or the only one that is set in the older form."""
    if given := config.get("pooling_mode"):
        return given
    chosen = [mode for key, mode in _OLD_KEYS.items() if config.get(key)]
    return chosen[0] if len(chosen) == 1 else "+".join(chosen)


def _prefix(folder: Path) -> str:
    """The default prompt, which is put before every text."""
    config = _read(folder / "config_sentence_transformers.json", dict)
    prompts = config.get("prompts") or {}
    return str(prompts.get(config.get("default_prompt_name")) or "")


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, ValueError):
        return kind()
