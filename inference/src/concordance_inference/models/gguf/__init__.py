"""Converts a GGUF file to a folder that mlx-lm loads.

`file` reads the container, `blocks` converts quantized tensors, `architecture` hyperparameters and
tensor names, and `tokenizer` the tokenizer. Anything that is not supported is rejected by name.
"""

from concordance_inference.models.gguf.convert import (
    Progress,
    Weights,
    convert_gguf,
    num_parameters,
)

__all__ = ["Progress", "Weights", "convert_gguf", "num_parameters"]
