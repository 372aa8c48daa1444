"""Replaces mlx's slow BLAS on Linux CPUs by OpenBLAS; import it before `mlx.core`."""

from concordance_inference.models.blas.preload import log_blas, preload_blas

__all__ = ["log_blas", "preload_blas"]
