"""Defaults that depend on the device and on the type of the weights."""

import mlx.core as mx
import pytest
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.model import device
from concordance_inference.engine.model.calibration.profile import ModelProfile
from families import build_model
from mlx import nn
from msgspec import structs
from tiny import TRAITS, runner_of


@pytest.mark.parametrize(("on_gpu", "chunk"), [(True, 2048), (False, 256)])
def test_chunks_are_larger_on_a_gpu(monkeypatch, on_gpu, chunk):
    monkeypatch.setattr(device, "runs_on_gpu", lambda: on_gpu)

    assert device.default_chunk() == chunk


@pytest.mark.parametrize(
    ("dtype", "expected"), [(mx.float32, False), (mx.float16, True), (mx.bfloat16, True)]
)
def test_a_quantized_model_computes_in_the_type_of_its_scales(dtype, expected):
    model = build_model("llama")
    model.set_dtype(dtype)
    assert device.computes_in_16_bit(model) is expected

    nn.quantize(model, group_size=32, bits=4)
    assert device.computes_in_16_bit(model) is expected


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
@pytest.mark.parametrize("adaptive", [None, True, False])
def test_chunks_are_not_adaptive_in_16_bits_unless_allowed(dtype, adaptive):
    model = build_model("llama")
    model.set_dtype(dtype)
    runner = runner_of(model)
    runner.profile = structs.replace(runner.profile, is_timed=True)
    engine = Engine(runner, TRAITS, EngineConfig(adaptive_chunks=adaptive))
    learns = engine.inspect().learns_chunk_size

    assert learns is (dtype == mx.float32 if adaptive is None else adaptive)


def test_chunks_are_not_adaptive_without_a_timed_profile():
    runner = runner_of(build_model("llama"))
    assert isinstance(runner.profile, ModelProfile)
    runner.profile = structs.replace(runner.profile, is_timed=False)

    engine = Engine(runner, TRAITS, EngineConfig(adaptive_chunks=True))

    assert not engine.inspect().learns_chunk_size
