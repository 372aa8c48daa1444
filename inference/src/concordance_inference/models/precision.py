"""Float32 matrix products in float32.

On CUDA, and on Apple GPUs with matrix units (M5 and newer), mlx multiplies float32 matrices in
TF32 by default: 10 bits of mantissa, a relative error of 3e-4 instead of 3e-7. Then a float32 model
is no more exact than a 16-bit one: its logits alone and in a batch differ by enough to change
tokens. Models in 16 bits do not use these products.
"""

import os

VARIABLE = "MLX_ENABLE_TF32"


def disable_tf32() -> None:
    """Make mlx multiply float32 matrices in float32, unless the environment says otherwise.

    mlx reads the variable at its first matrix product; call this before.
    """
    os.environ.setdefault(VARIABLE, "0")
