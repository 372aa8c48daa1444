"""Process-wide settings of the tests, made before mlx is imported."""

from concordance_inference.models.blas import preload_blas
from concordance_inference.models.precision import disable_tf32
from hypothesis import settings

preload_blas()
disable_tf32()  # tests compare float32 logits; on CUDA and the M5, mlx would round them to TF32

# No test depends on how fast the machine is.
settings.register_profile("concordance", deadline=None)
settings.load_profile("concordance")
