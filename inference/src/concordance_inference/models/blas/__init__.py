"""Replaces mlx's slow BLAS on Linux CPUs by OpenBLAS; import it before `mlx.core`."""

from concordance_inference.models.blas.preload import preload_blas

__all__ = ["preload_blas"]
