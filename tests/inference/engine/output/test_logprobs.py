"""CompletionLogprobs: entries of a completion that mods change."""

from concordance_inference.engine.output.logprobs import CompletionLogprobs
from concordance_inference.generation import TokenLogprobs
from concordance_sdk.host.request_state import RequestState
from msgspec.structs import replace


def entry(token_id):
    return TokenLogprobs(token_id=token_id, logprob=-1.0, top=((token_id, -1.0), (0, -2.0)))


def logprobs_of(*token_ids, num_top=1):
    state = RequestState("r", [1, 2, 3], max_tokens=20)
    logprobs = CompletionLogprobs(state, num_top)
    state.append(token_ids, forced=False)
    for index, token_id in enumerate(token_ids):
        logprobs.add(index, entry(token_id))
    return state, logprobs


def test_entries_are_added_in_order_with_the_requested_alternatives():
    _, logprobs = logprobs_of(5, 6, num_top=1)

    assert [e.token_id for e in logprobs.all()] == [5, 6]
    assert [e.top for e in logprobs.all()] == [((5, -1.0),), ((6, -1.0),)]


def test_backtrack_drops_the_entries_of_changed_tokens_and_all_after_them():
    state, logprobs = logprobs_of(5, 6, 7)
    state.backtrack(2)
    state.append([8, 7], forced=True)

    assert logprobs.num_known == 1
    logprobs.add(1, entry(8))
    assert [e.token_id for e in logprobs.all()] == [5, 8]


def test_entry_of_a_token_that_has_changed_is_ignored():
    state, logprobs = logprobs_of(5)
    state.append([6], forced=False)
    state.backtrack(1)
    logprobs.add(1, entry(6))
    state.append([7], forced=True)
    logprobs.add(1, entry(6))

    assert logprobs.num_known == 1


def test_entry_that_would_leave_a_gap_is_ignored():
    state, logprobs = logprobs_of(5)
    state.append([6, 7], forced=True)
    logprobs.add(2, entry(7))

    assert logprobs.num_known == 1


def test_take_unsent_returns_each_entry_once():
    _, logprobs = logprobs_of(5, 6, 7)

    assert [e.token_id for e in logprobs.take_unsent(2)] == [5, 6]
    assert [e.token_id for e in logprobs.take_unsent(3)] == [7]
    assert logprobs.take_unsent(3) == ()


def sampled(token_id, sampled_logprob=-0.25):
    return replace(entry(token_id), sampled_logprob=sampled_logprob)


def sampled_logprobs(logprobs):
    assert logprobs.num_known
    return [each.sampled_logprob for each in logprobs.all()]


def with_sampled(*token_ids):
    state = RequestState("r", [1], max_tokens=50)
    logprobs = CompletionLogprobs(state, 0)
    for i, token_id in enumerate(token_ids):
        state.append([token_id], forced=False)
        logprobs.add(i, sampled(token_id, -float(i + 1)))
    return state, logprobs


def test_the_sampled_logprob_of_a_token_stays_when_others_are_forced_after_it():
    state, logprobs = with_sampled(5, 6)
    state.append([7], forced=True)
    logprobs.add(2, sampled(7))

    assert sampled_logprobs(logprobs) == [-1.0, -2.0, None]


def test_a_token_that_is_forced_again_has_no_sampled_logprob():
    state, logprobs = with_sampled(5, 6, 7)
    state.backtrack(2)
    state.append([6], forced=True)

    assert sampled_logprobs(logprobs) == [-1.0, None]


def test_a_token_that_is_sampled_again_has_its_new_sampled_logprob():
    state, logprobs = with_sampled(5, 6)
    state.backtrack(1)
    assert logprobs.num_known == 1
    state.append([6], forced=False)
    logprobs.add(1, sampled(6, -9.0))

    assert sampled_logprobs(logprobs) == [-1.0, -9.0]


def test_an_equal_token_that_moves_to_the_place_of_a_hidden_one_has_no_sampled_logprob():
    state, logprobs = with_sampled(5, 6, 6)
    state.holds.add(1, hides=True, end=2)
    state.remove_hidden()

    assert state.completion_ids == [5, 6]
    assert sampled_logprobs(logprobs) == [-1.0, None]


def test_take_new_returns_entries_once_and_those_that_replace_dropped_ones_again():
    state, logprobs = logprobs_of(5, 6, 7)
    assert logprobs.take_new()[1] == logprobs.all()
    assert logprobs.take_new() == (3, ())

    state.backtrack(2)
    state.append([8], forced=True)
    logprobs.add(1, entry(8))

    first, entries = logprobs.take_new()
    assert (first, [e.token_id for e in entries]) == (1, [8])
