"""Row: a request in the batch."""

import pytest
from concordance_inference.engine.metrics import Metrics
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.sampling.rng import NO_TOKEN, TOO_FEW
from concordance_inference.generation import SamplingParams
from concordance_sdk import Added, ForwardPass, mod
from concordance_shared import NumericalError
from tiny import TRAITS, ask


def row_of(*mods, max_tokens=9, **options):
    request = ask("abc", *mods, **options)
    row = Row(request, TRAITS, lambda update: None, max_tokens=max_tokens, clock=Metrics().clock(0))
    row.admit(0)
    return row


def sampling(row):
    """Process all tokens, and launch the sampling of the next one."""
    row.speculation.processed(len(row.state.token_ids) - row.state.num_cached)
    row.speculation.mark_pending()
    return row


def late(max_backtrack):
    @mod(max_backtrack=max_backtrack, on=[Added])
    def late(event, actions):
        pass

    return late


@pytest.mark.parametrize(
    ("options", "num_released"),
    [
        ({"stream": True}, 2),
        ({"stream": True, "include_retractions": True}, 0),
        ({"stream": False}, 0),
    ],
)
def test_stream_holds_back_the_largest_max_backtrack(options, num_released):
    row = row_of(late(3), late(1), **options)
    for token_id in b"vwxyz":
        sampling(row).take_sampled(token_id)

    assert row.state.num_released == num_released


def test_draw_index_counts_each_draw_that_a_mod_or_the_completion_saw():
    row = sampling(row_of())
    assert row.draw_index == 1  # the draw after the pending one
    row.take_sampled(97)
    assert row.draw_index == 1
    sampling(row).take_sampled(TOO_FEW)
    assert row.draw_index == 1  # the position is sampled again, with the same random numbers


def test_too_few_top_tokens_make_the_row_sort_all_tokens():
    row = sampling(row_of(sampling=SamplingParams(top_p=0.9)))
    assert not row.sorts_all_tokens
    row.take_sampled(TOO_FEW)

    assert row.sorts_all_tokens
    assert row.state.completion_ids == []


def test_row_with_a_mod_for_forward_pass_always_sorts_all_tokens():
    @mod(on=[ForwardPass])
    def listen(event, actions):
        pass

    assert row_of(listen).sorts_all_tokens


def test_row_without_a_token_to_sample_fails_and_its_cache_is_not_reused():
    row = sampling(row_of())
    row.take_sampled(NO_TOKEN)

    assert isinstance(row.state.error, NumericalError)
    assert not row.is_sound
    assert row.may_hold_nan


def test_row_outgrows_its_admission_if_a_mod_forces_a_long_output():
    @mod(on=[Added])
    def whole(event, actions):
        return actions.force_output(b"x" * 30)

    row = sampling(row_of(whole, top_logprobs=0))
    row.take_sampled(97)

    assert row.has_outgrown
    assert row.state.max_length == 33
