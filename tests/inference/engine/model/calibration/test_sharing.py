"""Trials at load: a model's rows share what changes no logits, and the log says so."""

import logging
from functools import partial

import mlx.core as mx
import pytest
from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.caches.sliding import SlidingGroup
from concordance_inference.engine.model.calibration.profile import profile_of
from concordance_inference.engine.model.calibration.sharing import Layout, find_layout
from concordance_inference.engine.model.lm_head import SelectiveHead
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.plan import Sharing
from concordance_shared import ModelLoadError
from families import build_model, model_named
from mlx_lm.models import gpt_oss, llama
from mlx_lm.models.base import create_causal_mask
from model_files import compare
from tiny import ask, fresh_logits, make_engine, run

#: As wide as in the models that people run: no trial of 20 tokens reaches it.
WIDE = 512


def layout_of(model):
    return find_layout(SelectiveHead(model), partial(BatchCache, model, margin=0))


def own_mask(h, cache=None, window_size=None, return_array=False):
    """A mask that a model makes on its own, from the offset of its cache."""
    offset = cache.offset if cache else 0
    return create_causal_mask(h.shape[1], int(offset), window_size=window_size)


@pytest.mark.parametrize("family", ["llama", "gpt_oss", "gemma3_text"])
def test_rows_share_every_pass_if_the_model_takes_masks_from_its_caches(family):
    model = build_model(family, sliding_window=WIDE)

    assert layout_of(model).sharing is Sharing.PADDED


def test_rows_with_recurrent_states_share_passes_of_equal_numbers_of_tokens():
    assert layout_of(model_named("mamba")).sharing is Sharing.RAGGED


@pytest.mark.parametrize("window", [8, WIDE])
def test_a_cache_keeps_the_widest_window_that_the_model_masks_with(window):
    """plamo3 masks with one position more than its cache is made for."""
    model = build_model("plamo3", sliding_window=window)
    cache = BatchCache(model)

    assert [group.window for group in cache.groups if isinstance(group, SlidingGroup)] == [
        window + 1
    ]
    assert layout_of(model).sharing is Sharing.PADDED


def test_a_window_that_grows_after_positions_were_dropped_raises():
    cache = BatchCache(model_named("gpt_oss"))
    (group,) = [group for group in cache.groups if isinstance(group, SlidingGroup)]
    group.rebuild((), 1, 99)
    group._starts = [5]

    with pytest.raises(RuntimeError, match="window of 9 positions after others were dropped"):
        group.mask_window(9)


def test_a_model_with_masks_of_its_own_gets_opaque_caches_and_runs_row_by_row(monkeypatch):
    """Its masks are of another shape than its keys as soon as some are dropped, tokens later."""
    model = build_model("gpt_oss", sliding_window=WIDE)
    monkeypatch.setattr(gpt_oss, "create_attention_mask", own_mask)

    layout = layout_of(model)

    assert layout.sharing is Sharing.ALONE
    assert layout.is_opaque


class Forgetful(llama.Model):
    """Adds to its logits something that it keeps of its last pass, outside of any cache."""

    def __call__(self, inputs, cache=None):
        logits = super().__call__(inputs, cache=cache)
        before, self._kept = getattr(self, "_kept", mx.zeros(logits.shape[-1])), logits[-1, -1]
        return logits + before


def test_a_model_with_state_outside_of_its_caches_is_rejected():
    model = model_named("llama")
    refused = Forgetful(model.args)
    refused.update(model.parameters())

    with pytest.raises(ModelLoadError, match="llama cannot be served"):
        layout_of(refused)


def test_a_model_that_fails_with_its_own_caches_is_rejected(monkeypatch):
    model = build_model("gpt_oss", sliding_window=8)
    monkeypatch.setattr(gpt_oss, "create_attention_mask", own_mask)  # wider than what is kept

    with pytest.raises(ModelLoadError, match="gpt_oss cannot be served: .*ValueError"):
        layout_of(model)


def test_a_model_that_differs_without_a_cache_is_compared_with_one():
    """In gemma3n, layers share keys and values only if there is a cache."""
    model = compare.build("gemma3n")

    assert layout_of(model) == Layout(Sharing.PADDED)


@pytest.mark.parametrize("seed", [1, 2])
def test_positions_after_a_rows_length_are_noise_in_a_trial(seed):
    """gemma2 masks its heads instead of its rows if their numbers are equal.

    In new buffers it would see zeros, and with seed 2 hardly say something else.
    """
    layout = layout_of(compare.build("gemma2", seed=seed))

    assert layout.sharing is Sharing.EQUAL
    assert layout.why.endswith("ragged: logits differ from those of the row alone")


class RulesOut(llama.Model):
    """Rules some tokens out, or all numbers."""

    value = -mx.inf

    def __call__(self, inputs, cache=None):
        logits = super().__call__(inputs, cache=cache)
        logits[..., 5:9] = self.value
        return logits


def test_logits_that_a_model_sets_to_minus_infinity_are_equal():
    model = RulesOut(model_named("llama").args)
    mx.eval(model.parameters())

    assert layout_of(model) == Layout(Sharing.PADDED)
    assert SelectiveHead(model).is_selective


def test_a_model_with_nan_logits_runs_row_by_row_so_that_each_request_fails_alone():
    model = RulesOut(model_named("llama").args)
    model.value = mx.nan

    layout = layout_of(model)

    assert layout.sharing is Sharing.ALONE
    assert "its logits are NaN" in layout.why


class Raises(llama.Model):
    """Raises when `num_rows` rows share a pass."""

    num_rows = 2
    error = TypeError("arange(): incompatible function arguments.\nInvoked with: ...")

    def __call__(self, inputs, cache=None):
        if inputs.shape[0] >= self.num_rows:
            raise self.error
        return super().__call__(inputs, cache=cache)


def test_a_model_whose_arithmetic_needs_one_length_runs_row_by_row():
    layout = layout_of(Raises(model_named("llama").args))

    reason = "TypeError: arange(): incompatible function arguments"
    assert layout == Layout(Sharing.ALONE, why=f"padded, ragged, equal: {reason}")


@pytest.mark.parametrize("num_rows", [1, 2])
def test_running_out_of_memory_in_a_trial_raises(num_rows):
    model = Raises(model_named("llama").args)
    model.error = RuntimeError("[malloc] Unable to allocate 99 bytes")
    head = SelectiveHead(model)
    model.num_rows = num_rows

    with pytest.raises(RuntimeError, match="Unable to allocate"):
        find_layout(head, partial(BatchCache, model, margin=0))


def test_sharing_is_logged_with_a_known_profile_too(caplog):
    model = model_named("llama")
    profile = profile_of(model, measures_cost=False)

    with caplog.at_level(logging.INFO):
        ModelRunner(model, profile)

    assert "llama: all rows share forward passes" in caplog.messages


def test_rows_that_share_nothing_are_logged_as_a_warning_with_the_reason(caplog):
    layout = Layout(Sharing.ALONE, why="its caches are of an unknown kind")

    layout.log("deepseek_v41")

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "deepseek_v41: each row runs alone, so that a batch is no faster than its rows one after "
        "another (its caches are of an unknown kind)"
    )


@pytest.mark.parametrize("chunk", [3, 64])
def test_a_model_whose_window_is_wider_than_its_cache_matches_one_without_a_cache(chunk):
    model = build_model("plamo3", sliding_window=8)
    prompts = [bytes(range(40, 40 + n)) for n in (3, 9, 30)]

    answers = run(
        make_engine(model, margin=2, chunk=chunk), *(ask(p, max_tokens=20) for p in prompts)
    )

    for prompt, answer in zip(prompts, answers, strict=True):
        for i, token_id in enumerate(answer.ids):
            logits = fresh_logits(model, [*prompt, *answer.ids[:i]])
            assert (mx.max(logits) - logits[token_id]).item() < 1e-3
