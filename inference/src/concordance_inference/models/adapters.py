"""Folders of adapters, as written by `mlx_lm.lora`."""

from pathlib import Path
from typing import Any

import msgspec


def replaces_weights(folder: Path) -> bool:
    """True if the adapters replace the model's weights instead of adding to them."""
    try:
        raw = (folder / "adapter_config.json").read_bytes()
        config: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    except (OSError, ValueError):
        return False  # `mlx_lm.utils.load_adapters` names the fault
    return config.get("fine_tune_type") == "full"
