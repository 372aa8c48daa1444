"""What every test may need. The BLAS comes first: it must be loaded before mlx is imported."""

from concordance_inference.models.blas import preload_blas

preload_blas()
