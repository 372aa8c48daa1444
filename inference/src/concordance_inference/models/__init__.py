"""Finds, loads and describes a model: hub, local folder, GGUF, the embedded default."""
