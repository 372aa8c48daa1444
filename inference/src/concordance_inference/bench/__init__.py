"""Benchmarks: the engine and mlx-lm, measured in alternation in one process."""
