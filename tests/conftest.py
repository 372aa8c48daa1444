"""Process-wide settings of the tests, made before mlx is imported."""

from concordance_inference.models.blas import preload_blas
from concordance_inference.models.precision import disable_tf32

preload_blas()
disable_tf32()  # tests compare float32 logits; on CUDA and the M5, mlx would round them to TF32
