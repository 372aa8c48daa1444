"""Kernel launches of a decode step, counted in its graph and compared with mlx-lm's."""

from functools import cache

import mlx.core as mx
import msgspec
import pytest
from concordance_inference.generation import SamplingParams
from launches import as_on_a_gpu, launches, of_batch_generator, of_engine, of_generate_step
from mlx_lm.models import llama
from mlx_lm.sample_utils import make_logits_processors, make_sampler
from tiny import TRAITS, ask, make_engine, submit

#: Number of additional launches outside the layers that a step may have over mlx-lm's.
ALLOWANCE = 4

GREEDY = SamplingParams(temperature=0)

#: No EOS token, so that all rows are still in the batch at the counted step.
#: As on a GPU: with the candidates of a CPU, some rows would be sampled again.
SORT_ALL = 10**9

ENDLESS = msgspec.structs.replace(TRAITS, eos_ids=frozenset())

#: Sampling parameters under mlx-lm's names: of its samplers, and of its logits processors.
SAMPLERS = {
    "temperature": ({"temp": 1.0}, {}),
    "top_p": ({"temp": 1.0, "top_p": 0.9}, {}),
    "top_k": ({"temp": 1.0, "top_k": 40}, {}),
    "min_p": ({"temp": 1.0, "min_p": 0.1}, {}),
    "top_p and top_k": ({"temp": 1.0, "top_p": 0.9, "top_k": 40}, {}),
    "xtc": ({"temp": 1.0, "xtc_probability": 1.0, "xtc_threshold": 0.1}, {}),
    "bias": ({}, {"logit_bias": {5: 1.0}}),
    "repetition": ({}, {"repetition_penalty": 1.2}),
    "presence": ({}, {"presence_penalty": 0.5}),
    "frequency": ({}, {"frequency_penalty": 0.5}),
    "top_p and penalties": (
        {"temp": 1.0, "top_p": 0.9},
        {"repetition_penalty": 1.2, "presence_penalty": 0.5, "frequency_penalty": 0.5},
    ),
}


@cache
def model_of(num_layers):
    mx.random.seed(0)
    fields = {
        "model_type": "llama",
        "hidden_size": 32,
        "num_hidden_layers": num_layers,
        "intermediate_size": 48,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "vocab_size": 1500,  # more than the candidates sorted on a CPU
    }
    return llama.Model(llama.ModelArgs.from_dict(fields))


@pytest.fixture(name="count")
def _count(tmp_path):
    """Return a function that counts launches per layer, and outside the layers.

    They follow from the counts of models of two and of four layers.
    """

    def count(graph_of):
        two, four = (launches(graph_of(model_of(n)), tmp_path) for n in (2, 4))
        return (four - two) / 2, two - (four - two)

    return count


def ours(prompts, sampling=GREEDY):
    def graph_of(model):
        engine = make_engine(model, traits=ENDLESS, num_candidates=SORT_ALL)
        for prompt in prompts:
            submit(engine, ask(prompt, max_tokens=30, sampling=sampling))
        return of_engine(engine, steps=6)

    return graph_of


def ragged(num_rows):
    return [b"x" * (20 + 3 * i) for i in range(num_rows)]


def of_one(sampler=None, processors=None):
    choose = make_sampler(**sampler) if sampler else None
    change = make_logits_processors(**processors) if processors else None
    return lambda model: of_generate_step(model, list(b"Hello"), choose, change)


def test_launches_of_mlx_lm_match_its_source(count):
    """17: two norms, seven matmuls, two RoPEs, two cache writes, attention, two adds, SwiGLU."""
    assert count(of_one()) == (17, 6)
    assert count(lambda model: of_batch_generator(model, [list(p) for p in ragged(8)])) == (18, 11)


@pytest.mark.parametrize("num_rows", range(1, 9))
def test_a_ragged_batch_has_no_more_launches_than_mlx_lm(count, num_rows):
    per_layer, beside = count(ours(ragged(num_rows)))

    assert per_layer <= 17
    assert beside <= 6 + ALLOWANCE


@pytest.mark.parametrize("num_rows", [3, 8])
def test_rows_of_equal_length_have_the_launches_of_one_row(count, num_rows):
    assert count(ours([b"x" * 20] * num_rows)) == count(ours([b"x" * 20]))


@pytest.mark.parametrize("num_rows", [1, 3, 8])
@pytest.mark.parametrize("name", SAMPLERS)
def test_sampling_has_few_more_launches_than_mlx_lm(count, name, num_rows):
    sampler, processors = SAMPLERS[name]
    renamed = {("temperature" if k == "temp" else k): v for k, v in sampler.items()}
    sampling = SamplingParams(**{"temperature": 0.0, "seed": 1, **renamed, **processors})
    per_layer, beside = count(ours(ragged(num_rows), sampling))
    _, theirs = count(of_one(sampler, processors))

    assert per_layer <= 17
    assert beside <= theirs + ALLOWANCE


def test_a_batch_of_different_sampling_parameters_has_few_launches(count):
    params = [
        GREEDY,
        SamplingParams(seed=1),
        SamplingParams(top_p=0.9, seed=2),
        SamplingParams(top_k=5, min_p=0.1, repetition_penalty=1.2, seed=3),
    ]

    def graph_of(model):
        engine = make_engine(model, traits=ENDLESS, num_candidates=SORT_ALL)
        for prompt, sampling in zip(ragged(4), params, strict=True):
            submit(engine, ask(prompt, max_tokens=30, sampling=sampling))
        return of_engine(engine, steps=6)

    per_layer, beside = count(graph_of)

    assert per_layer <= 17
    assert beside <= 50


@pytest.mark.slow  # each chain is compiled once per machine, by a C++ compiler
def test_sampling_for_a_gpu_and_for_a_cpu_gives_the_same_tokens(monkeypatch):
    """On a GPU, chains of operations are compiled and all tokens are sorted."""
    model = model_of(2)
    params = [
        SamplingParams(seed=0),
        SamplingParams(seed=1, top_p=0.9, repetition_penalty=1.3),
        SamplingParams(seed=2, top_k=20, min_p=0.05, frequency_penalty=0.5),
        SamplingParams(seed=3, top_p=0.8, top_k=50, xtc_probability=0.5, presence_penalty=0.5),
        SamplingParams(seed=4, temperature=0, repetition_penalty=1.5),
    ]

    def answers():
        engine = make_engine(model, traits=ENDLESS, num_candidates=SORT_ALL)
        outputs = [
            submit(engine, ask(prompt, max_tokens=20, sampling=sampling))
            for prompt, sampling in zip(ragged(5), params, strict=True)
        ]
        while engine.has_work:
            engine.step()
        return [output.ids for output in outputs]

    expected = answers()
    with monkeypatch.context() as patched:
        patched.setattr("concordance_inference.engine.model.device.runs_on_gpu", lambda: True)
        assert answers() == expected


def test_counting_restores_fast_operations():
    before = mx.fast.rope
    with as_on_a_gpu():
        assert mx.fast.rope is not before
    assert mx.fast.rope is before
