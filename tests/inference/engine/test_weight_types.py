"""The engine with 16-bit and quantized weights of every type."""

from functools import cache

import mlx.core as mx
import pytest
from concordance_inference.engine.caches.recurrent import RecurrentGroup
from concordance_inference.engine.plan import Sharing
from concordance_sdk import mod
from concordance_sdk.constraints import ChoicesStrat, constrain
from families import build_model, slow
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import SwitchLinear
from tiny import ask, make_engine, run, runner_of

#: Name -> the type of activations, and the quantization of weights.
TYPES = {
    "bfloat16": (mx.bfloat16, None),
    "float16": (mx.float16, None),
    "4 bits": (mx.bfloat16, {"group_size": 64, "bits": 4}),
    "4 bits, float16": (mx.float16, {"group_size": 64, "bits": 4}),
    "8 bits": (mx.bfloat16, {"group_size": 32, "bits": 8}),
    "mxfp4": (mx.bfloat16, {"group_size": 32, "bits": 4, "mode": "mxfp4"}),
    "mxfp8": (mx.bfloat16, {"group_size": 32, "bits": 8, "mode": "mxfp8"}),
    "nvfp4": (mx.bfloat16, {"group_size": 16, "bits": 4, "mode": "nvfp4"}),
}

#: Sizes that are divisible by quantization groups of 64.
WIDE = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 32, "block_dim": 64}
EXPERTS = {"moe_intermediate_size": 64, "shared_expert_intermediate_size": 64}
FIELDS = {
    "llama": {},
    "gpt_oss": {},
    "gemma3_text": {},
    "qwen3_moe": EXPERTS,
    "mamba": {},
    "falcon_h1": {"mamba_d_ssm": 64},
    "qwen3_next": {"linear_key_head_dim": 32, "linear_value_head_dim": 32, **EXPERTS},
    "lfm2": {"block_ff_dim": 128},
}

#: Families whose recurrent states are always float32 in mlx-lm.
FLOAT32_STATES = ("qwen3_next", "falcon_h1")

QUICK = {("llama", "bfloat16"), ("llama", "4 bits"), ("gpt_oss", "mxfp4")}
CASES = [
    (family, kind) if (family, kind) in QUICK else slow(family, kind)
    for family in FIELDS
    for kind in TYPES
]


@cache
def model_of(family, kind):
    dtype, quantized = TYPES[kind]
    model = build_model(family, **WIDE, **FIELDS[family])
    model.set_dtype(dtype)
    if quantized:
        size = quantized["group_size"]
        nn.quantize(
            model,
            **quantized,
            class_predicate=lambda _, layer: (
                hasattr(layer, "to_quantized") and layer.weight.shape[-1] % size == 0
            ),
        )
    mx.eval(model.parameters())
    return model


@pytest.fixture(name="model")
def _model(family, kind):
    model = model_of(family, kind)
    has_experts = any(isinstance(m, SwitchLinear) for _, m in model.named_modules())
    if has_experts and mx.default_device() == mx.cpu:
        pytest.skip("mlx's CPU backend supports experts in float32 only")
    return model


@mod(name="reviser", max_backtrack=None)
class Reviser:
    """Replaces a sampled token by a span, and backtracks once over a longer one."""

    def __init__(self):
        self.revised = False

    def sampled(self, event, actions):
        return actions.force_tokens([7, 8, 9]) if event.step == 5 else None

    def added(self, event, actions):
        if self.revised or event.step + len(event.added_tokens) < 10:
            return None
        self.revised = True
        return actions.backtrack(6, [65, 66])


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_caches_have_the_type_of_activations_and_logits_are_float32(family, kind, model):
    dtype, quantized = TYPES[kind]
    runner = runner_of(model)
    engine = make_engine(model)
    run(engine, ask(max_tokens=3), ask("Other", max_tokens=3))
    cache = engine._runner.cache
    cache.rebuild((), 1)
    logits = []
    head = engine._runner.head
    engine._runner.head = lambda *args: logits.append(head(*args)) or logits[-1]
    run(engine, ask(max_tokens=2))
    types = [(isinstance(g, RecurrentGroup), a.dtype) for g in cache.groups for a in g.arrays()]
    keys = {dtype for is_state, dtype in types if not is_state}
    states = {dtype for is_state, dtype in types if is_state}

    assert runner.computes_in_16_bit
    assert runner.head.is_selective
    assert runner.profile.sharing >= Sharing.RAGGED
    assert keys <= {dtype}
    assert states <= {dtype} | ({mx.float32} if family in FLOAT32_STATES else set())
    assert {row.dtype for row in logits} == {mx.float32}
    weights = {a.dtype for _, a in tree_flatten(model.parameters())}
    assert mx.float32 not in weights or family in FLOAT32_STATES
    assert (mx.uint32 in weights) == bool(quantized)


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_tokens_are_the_same_alone_and_in_a_batch_for_every_weight_type(family, kind, model):
    """On a CPU, 16-bit products are summed in the same order for any number of rows.

    The latency target keeps the chunks the same: a recurrent state is rounded after each chunk.
    """

    def requests():
        return [
            ask("The first prompt", max_tokens=16, top_logprobs=2),
            ask("Another", Reviser, max_tokens=16),
            ask("A third, which is longer than both", max_tokens=16),
        ]

    alone = [run(make_engine(model), request).ids for request in requests()]
    engine = make_engine(model, latency_target_s=1e6)
    together = [output.ids for output in run(engine, *requests())]

    assert together == alone


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_a_prefix_cache_hit_does_not_change_tokens(family, kind, model):
    engine = make_engine(model)
    first = run(engine, ask("x" * 40, max_tokens=8))
    again = run(engine, ask("x" * 40, max_tokens=8))

    assert again.end.cached_tokens >= 16
    assert again.ids == first.ids


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_a_constraint_holds_for_every_weight_type(family, kind, model):
    choose = constrain(ChoicesStrat(["red", "redder", "blue"]), name="choose")
    answers = run(
        make_engine(model), ask("a", choose, max_tokens=12), ask("b", choose, max_tokens=12)
    )

    assert all(output.end.text in ("red", "redder", "blue") for output in answers)
