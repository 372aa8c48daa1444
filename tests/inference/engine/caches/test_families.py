"""A cache family is one class and one line: a toy family keeps the laws of the engine."""

import random

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.caches.budget import Footprint
from concordance_inference.engine.caches.families import FAMILIES, grouped
from concordance_inference.engine.caches.group import CacheGroup
from concordance_inference.engine.plan import Sharing
from concordance_sdk import ForwardPass, mod
from families import build_model
from meddling import meddler_of
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache
from msgspec import Struct, structs
from tiny import TRAITS, ask, fresh_logits, make_engine, run, runner_of


class Kept(Struct):
    """The states of one row after some tokens."""

    position: int
    states: list  # layer by layer, array by array

    @property
    def num_bytes(self):
        return sum(array.nbytes for arrays in self.states for array in arrays)

    def reach(self, length):
        return self.position if self.position <= length else 0


class LastStateGroup(CacheGroup):
    """A toy: rows keep their last state only, and run one by one."""

    key = "toy"
    needs_snapshots = True

    def __init__(self):
        self.layers = []
        self.rows = []

    def add_layer(self, cache):
        self.layers.append(ArraysCache(len(cache.cache)))
        return self.layers[-1]

    def arrays(self):
        return [array for row in self.rows for arrays in row.states for array in arrays]

    def footprint(self):
        return Footprint(per_row=4 * sum(row.num_bytes for row in self.rows))

    def rebuild(self, keep, num_new, longest=0):
        self.rows = [*(self.rows[row] for row in keep), *(Kept(0, []) for _ in range(num_new))]

    def reach(self, row, length):
        return self.rows[row].reach(length)

    def rewind(self, row, length):
        if length < self.rows[row].position:
            self.rows[row] = Kept(0, [])

    def snapshot(self, row, position):
        return self.rows[row] if self.rows[row].position == position else None

    def restore(self, row, length, part):
        self.rows[row] = part

    def begin(self, pass_):
        self.row, self.position = pass_.first, pass_.starts[0] + pass_.num_tokens
        states = self.rows[self.row].states or [[None] * len(la.cache) for la in self.layers]
        for layer, arrays in zip(self.layers, states, strict=True):
            layer.cache = list(arrays)

    def end(self):
        self.rows[self.row] = Kept(self.position, [list(layer.cache) for layer in self.layers])

    def allows(self, sharing):
        return sharing is Sharing.ALONE


@pytest.fixture(name="toy_model")
def _toy_model(monkeypatch):
    """A model that runs with the toy family, which is registered by one line."""
    monkeypatch.setitem(FAMILIES, ArraysCache, lambda cache, margin: LastStateGroup())
    return build_model("mamba")


def test_a_family_is_registered_by_one_line(toy_model):
    (group,) = BatchCache(toy_model).groups

    assert isinstance(group, LastStateGroup)
    assert runner_of(toy_model).profile.sharing is Sharing.ALONE
    assert not runner_of(toy_model).profile.is_opaque


@pytest.mark.parametrize("seed", range(4))
def test_logits_of_a_toy_family_are_those_of_a_fresh_prefill_after_forces_and_backtracks(
    seed, toy_model
):
    dice = random.Random(seed)
    engine = make_engine(toy_model, chunk=5, max_rows=2)
    checks = []

    @mod(name="witness", on=[ForwardPass])
    def witness(event, actions):
        (row,) = [r for r in engine.rows if r.request.request_id == event.request_id]
        checks.append((list(row.state.token_ids), event.logits.to_numpy()))

    def meddler():
        return meddler_of(
            random.Random(dice.random()), lambda n: [dice.randrange(256) for _ in range(n)]
        )

    requests = [ask(bytes([65 + i]) * 9, witness, meddler(), max_tokens=20) for i in range(3)]
    run(engine, *requests)

    assert checks
    for ids, logits in checks:
        assert np.abs(logits - np.array(fresh_logits(toy_model, ids))).max() < 2e-2


def test_prefixes_of_a_toy_family_are_reused(toy_model):
    engine = make_engine(toy_model, traits=structs.replace(TRAITS, eos_ids=frozenset()))
    prompt = tuple(range(32, 92))
    prompt += (*run(engine, ask(prompt, max_tokens=4)).ids, 7, 8)
    answer = run(engine, ask(prompt, max_tokens=6))

    ids = list(prompt)
    for token_id in answer.ids:
        assert int(mx.argmax(fresh_logits(toy_model, ids)).item()) == token_id
        ids.append(token_id)
    assert answer.end.cached_tokens == len(prompt) - 3


def test_layers_of_one_kind_form_a_group():
    made = [KVCache(), RotatingKVCache(8), None, CacheList(KVCache(), RotatingKVCache(4))]
    layers, groups = grouped(lambda: made, margin=4)

    assert [group.key for group in groups] == ["full", (8, False), (4, False)]
    assert layers[2] is None
    assert groups[0].buffers.layers == [layers[0], layers[3][0]]


@pytest.mark.parametrize(
    "unknown", [type("Subclass", (KVCache,), {})(), RotatingKVCache(8, keep=4), object()]
)
def test_a_cache_that_no_family_handles_makes_all_layers_opaque(unknown):
    layers, (group,) = grouped(lambda: [KVCache(), unknown], margin=4)

    assert (layers, group.key) == ([], "opaque")
