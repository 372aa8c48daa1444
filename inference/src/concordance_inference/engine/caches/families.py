"""The cache families: which group of layers replaces each of mlx-lm's caches."""

from collections.abc import Callable
from typing import Any

from mlx_lm.models.cache import ArraysCache, CacheList, ChunkedKVCache, KVCache, RotatingKVCache

from concordance_inference.engine.caches.attention import AttentionGroup
from concordance_inference.engine.caches.group import CacheGroup
from concordance_inference.engine.caches.opaque import OpaqueGroup
from concordance_inference.engine.caches.recurrent import RecurrentGroup
from concordance_inference.engine.caches.sliding import SlidingGroup

#: By the exact type of mlx-lm's cache, since a subclass may do anything: makes the empty group of a
#: cache with a margin, or None if the family does not handle this one.
FAMILIES: dict[type, Callable[[Any, int], CacheGroup | None]] = {
    KVCache: lambda _cache, _margin: AttentionGroup(),
    RotatingKVCache: lambda cache, margin: (
        None if cache.keep else SlidingGroup(cache.max_size, margin=margin)
    ),
    ChunkedKVCache: lambda cache, margin: SlidingGroup(
        cache.chunk_size, margin=margin, is_chunked=True
    ),
    ArraysCache: lambda _cache, _margin: RecurrentGroup(),
}


Layers = list[Any]


def grouped(
    make: Callable[[], Layers], margin: int, *, is_opaque: bool = False
) -> tuple[Layers, list[CacheGroup]]:
    """Replace mlx-lm's caches, layer by layer; return the layers and their groups.

    One cache that no family handles makes all of them opaque.

    Args:
        make: Makes mlx-lm's caches of a model; None stands for a layer without a cache.
        margin: Positions that sliding-window layers keep before their window.
        is_opaque: True to use mlx-lm's own caches, whatever they are.
    """
    groups: dict[Any, CacheGroup] = {}
    try:
        if not is_opaque:
            layers = [_layer_of(cache, margin, groups) for cache in make()]
            return layers, list(groups.values())
    except _UnknownCacheError:
        pass
    opaque = OpaqueGroup(make)
    return opaque.layers, [opaque]


class _UnknownCacheError(Exception):
    """No family handles a cache."""


def _layer_of(cache: Any, margin: int, groups: dict[Any, CacheGroup]) -> Any:
    """The layer in place of a cache, in the group that it belongs to, made if need be."""
    if cache is None:
        return None
    if type(cache) is CacheList:
        return CacheList(*(_layer_of(inner, margin, groups) for inner in cache.caches))
    make = FAMILIES.get(type(cache))
    group = make(cache, margin) if make else None
    if group is None:
        raise _UnknownCacheError
    return groups.setdefault((type(group), group.key), group).add_layer(cache)
