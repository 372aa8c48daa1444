"""Calibrates a model when it is loaded, by running it."""

from functools import partial
from typing import Any

import mlx.core as mx
from msgspec import Struct, structs

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.caches.budget import Footprint
from concordance_inference.engine.caches.sliding import MARGIN
from concordance_inference.engine.model.calibration.pass_cost import measured_cost
from concordance_inference.engine.model.calibration.sharing import Layout, find_layout
from concordance_inference.engine.model.lm_head import SelectiveHead
from concordance_inference.engine.plan import Pass, PassCost, RowRead, Sharing

#: Tokens of the pass that measures the size of the caches.
_TOKENS = 16


class ModelProfile(Struct, frozen=True, kw_only=True):
    """The calibration of a model, for the planner, admission and the KV budget."""

    sharing: Sharing  # which rows can share a pass
    is_opaque: bool = False  # each row has mlx-lm's own caches, whatever these are
    why: str = ""  # why rows cannot share more, in words
    is_selective: bool | None = None  # the LM head can run on selected positions; `None`: unknown
    footprint: Footprint  # of its caches
    cost: PassCost = PassCost()  # of its passes; in seconds, if `is_timed`
    is_timed: bool = False
    is_steady: bool = True  # False: the machine was busy while the cost was measured

    @property
    def layout(self) -> Layout:
        """The part of the profile that trials determine."""
        return Layout(self.sharing, self.is_opaque, self.why)


def profile_of(model: Any, *, margin: int = MARGIN, measures_cost: bool = True) -> ModelProfile:
    """Run a model a few times to determine its sharing, footprint and cost.

    Args:
        model: One of mlx-lm's.
        margin: Tokens that a sliding-window layer keeps beyond its window.
        measures_cost: False to leave the default cost, so that plans do not depend on the speed of
            this machine.
    """
    head = SelectiveHead(model)
    layout = find_layout(head, partial(BatchCache, model, margin=0))
    cache = BatchCache(model, margin=margin, is_opaque=layout.is_opaque)
    footprint = _footprint(head, cache)
    profile = ModelProfile(
        sharing=layout.sharing,
        is_opaque=layout.is_opaque,
        why=layout.why,
        is_selective=head.is_selective,
        footprint=footprint,
    )
    if not measures_cost:
        return profile
    measured = measured_cost(head, cache)
    return structs.replace(profile, cost=measured.cost, is_timed=True, is_steady=measured.is_steady)


def footprint_of(model: Any, *, margin: int = MARGIN) -> Footprint:
    """Return the size of a model's caches from the shapes of a pass that is not computed.

    Weights that were not read yet are not read.
    """
    head = SelectiveHead(model, is_selective=False)
    return _footprint(head, BatchCache(model, margin=margin))


def _footprint(head: SelectiveHead, cache: BatchCache) -> Footprint:
    cache.rebuild((), 1)
    cache.begin(Pass(0, (0,), (RowRead(0, 0, _TOKENS, None),)))
    head(mx.ones((1, _TOKENS), mx.int32), cache.layers, [(0, _TOKENS - 1)])
    cache.end()
    footprint = cache.footprint()
    cache.rebuild((), 0)
    return footprint
