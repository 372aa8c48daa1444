"""Ids with a logit but without a token are never sampled."""

import math

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.missing import without_missing
from concordance_inference.generation import SamplingParams
from concordance_sdk import ForwardPass, mod
from families import VOCAB
from msgspec.structs import replace
from tiny import TRAITS, ask, make_engine, run

PADDED = replace(TRAITS, vocab_size=40, missing_ids=frozenset({7, 8}), eos_ids=frozenset())


def test_logits_of_a_vocabulary_without_gaps_do_not_change():
    logits = mx.zeros((2, 5))

    assert without_missing(logits, 5, frozenset()) is logits
    assert without_missing(logits, 9, frozenset()) is logits


def test_padding_and_missing_ids_are_masked():
    masked = without_missing(mx.zeros((1, 5)), 4, frozenset({1})).tolist()

    assert masked == [[0, -math.inf, 0, 0, -math.inf]]


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(temperature=0.0),
        SamplingParams(temperature=2.0, seed=1),
        SamplingParams(temperature=50.0, seed=1, top_p=0.99, presence_penalty=1.0),
        SamplingParams(temperature=2.0, seed=1, logit_bias={8: 100.0}),
    ],
)
def test_only_ids_with_a_token_are_sampled(sampling):
    engine = make_engine(traits=PADDED)
    answers = run(
        engine,
        ask("!#", max_tokens=60, sampling=sampling),
        ask("!$", max_tokens=60, sampling=sampling),
    )

    for answer in answers:
        ids = set(answer.ids)
        assert len(answer.ids) == 60
        assert max(ids) < 40
        assert not ids & PADDED.missing_ids


@pytest.mark.parametrize("make_row", [np.zeros, mx.zeros])
def test_missing_ids_are_masked_in_a_mods_own_row(make_row):
    seen = []

    @mod(on=[ForwardPass])
    def level(event, actions):
        return actions.adjust_logits(logits=make_row((len(event.logits),)), token_temp=2.0)

    @mod(on=[ForwardPass])
    def look(event, actions):
        seen.append(event.logits[8])

    ids = set(run(make_engine(traits=PADDED), ask("!#", level, look, max_tokens=60)).ids)

    assert max(ids) < 40
    assert not ids & PADDED.missing_ids
    assert set(seen) == {-math.inf}


def test_mods_see_missing_ids_as_banned():
    seen = []

    @mod(on=[ForwardPass])
    def look(event, actions):
        seen.append(event.logits.to_numpy())

    run(make_engine(traits=PADDED), ask("!#", look, max_tokens=2))

    assert seen[0].shape == (VOCAB,)
    assert (seen[0][40:] == -math.inf).all()
    assert (seen[0][:7] > -math.inf).all()
