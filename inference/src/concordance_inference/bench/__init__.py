"""Measures the engine beside mlx-lm, in one run on one machine."""
