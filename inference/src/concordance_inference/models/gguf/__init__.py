"""Converts a GGUF file to a folder that mlx-lm loads.

`file` reads the container, `blocks` its quantized tensors, `architecture` what it says of the
model, `tokenizer` what it says of the text. What the file says is converted or refused by name.
"""

from concordance_inference.models.gguf.convert import (
    Progress,
    Weights,
    convert_gguf,
    num_parameters,
)

__all__ = ["Progress", "Weights", "convert_gguf", "num_parameters"]
