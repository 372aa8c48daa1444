"""Tensors and tokens: the execute loop, its caches, the sampler and the decoder.

Knows no HTTP, no chat format and no JSON.
"""
