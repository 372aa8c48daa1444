"""All groups of a model together: rows rewind where every group can, and keep what all hold."""

import mlx.core as mx
import pytest
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.plan import Pass, RowRead, Sharing
from families import model_named, slow


@pytest.fixture(autouse=True)
def _small_buffers(monkeypatch):
    monkeypatch.setattr(kv_buffers, "GROWTH", 4)


def prefill(model, cache, row, start, token_ids):
    """Process tokens of one row alone; return the logits of the last position."""
    cache.begin(Pass(row, (start,), (RowRead(row, start, len(token_ids), None),)))
    logits = model(mx.array([token_ids]), cache=cache.layers)[0, -1]
    cache.end()
    return logits.astype(mx.float32)


def cache_of(family, num_rows=1):
    cache = BatchCache(model_named(family), margin=2)
    cache.limit_past(0)
    cache.rebuild((), num_rows, longest=99)
    return cache


@pytest.mark.parametrize(
    ("family", "reached"),
    [
        ("llama", 20),
        ("gpt_oss", 15),
        ("mamba", 15),
        slow("qwen3_next", 15),
        slow("deepseek_v41", 15),
    ],
)
def test_a_row_rewinds_to_where_all_groups_can_resume(family, reached):
    model, cache = model_named(family), cache_of(family)
    cache.pin(0, [15])
    ids = list(range(40))
    prefill(model, cache, 0, 0, ids[:15])
    for position in range(15, 40):
        prefill(model, cache, 0, position, ids[position : position + 1])
    assert cache.reach(0, 20) == reached

    assert cache.rewind(0, 20) == reached
    logits = prefill(model, cache, 0, reached, [7, 8])
    assert mx.allclose(logits, model(mx.array([[*ids[:reached], 7, 8]]))[0, -1], atol=2e-2)


@pytest.mark.parametrize("family", ["llama", "gpt_oss", "mamba", slow("deepseek_v41")])
def test_another_row_resumes_from_a_segment_and_a_snapshot(family):
    model, cache = model_named(family), cache_of(family, num_rows=2)
    ids = list(range(30))
    prefill(model, cache, 0, 0, ids)
    snapshot = cache.snapshots(0, 30)[30] if cache.needs_snapshots else None
    cache.restore(1, 30, [(0, cache.segment(0, 0, 30))], snapshot)

    logits = prefill(model, cache, 1, 30, [7])
    assert mx.allclose(logits, model(mx.array([[*ids, 7]]))[0, -1], atol=2e-2)


@pytest.mark.parametrize(
    ("family", "ways"),
    [
        ("llama", {Sharing.ALONE, Sharing.EQUAL, Sharing.RAGGED, Sharing.PADDED}),
        ("gpt_oss", {Sharing.ALONE, Sharing.RAGGED, Sharing.PADDED}),
        ("mamba", {Sharing.ALONE, Sharing.EQUAL, Sharing.RAGGED}),
        ("deepseek_v41", {Sharing.ALONE}),
    ],
)
def test_caches_allow_what_every_group_allows(family, ways):
    assert {
        sharing for sharing in Sharing if BatchCache(model_named(family)).allows(sharing)
    } == ways
