"""The ids of a completion's tokens, and which mod forced each of them."""

import pytest
from concordance_inference.generation import Started
from concordance_sdk import Added, Finished, Prefilled, mod
from tiny import EOS, ask, make_engine, run


@mod
def forces(event, actions):
    if isinstance(event, Added) and event.step == 1:
        return actions.force_tokens([65, 66])


@mod(max_backtrack=1)
def replaces(event, actions):
    if isinstance(event, Added) and event.step == 2:
        return actions.backtrack(1, [67])


@mod
def prompts(event, actions):
    if isinstance(event, Prefilled):
        return actions.adjust_prefill([1, 2, 3])


def joined(answers, name):
    return tuple(value for delta in answers.deltas for value in getattr(delta, name))


@pytest.mark.parametrize("stream", [False, True])
def test_each_token_names_the_mod_that_forced_it(stream):
    answers = run(
        make_engine(), ask("Hello", forces, replaces, return_token_ids=True, stream=stream)
    )
    end = answers.end

    assert len(end.forced_by) == len(end.token_ids)
    assert [by is not None for by in end.forced_by].count(True) == end.forced_tokens > 0
    for token_id, by in zip(end.token_ids, end.forced_by, strict=True):
        assert by is None or token_id in {"forces": (65, 66), "replaces": (67,)}[by]
    assert end.prompt_ids == tuple(b"Hello")


def test_a_stream_has_the_tokens_of_its_text_and_the_end_has_all():
    answers = run(
        make_engine(),
        ask("Hello", forces, return_token_ids=True, stream=True, top_logprobs=0),
    )
    ids, forced_by = joined(answers, "token_ids"), joined(answers, "forced_by")

    assert ids
    assert answers.ids[: len(ids)] == ids
    assert answers.end.forced_by[: len(ids)] == forced_by
    assert [entry.token_id for entry in joined(answers, "logprobs")] == list(ids)
    assert [entry.token_id for entry in answers.end.logprobs] == list(answers.ids)


def test_logprobs_include_the_end_of_sequence_token_and_those_of_a_stop_string():
    @mod
    def ends(event, actions):
        if isinstance(event, Added) and event.step == 0:
            return actions.force_tokens([*b"ab", EOS])

    for fields in ({}, {"stop": ("ab",)}):
        with_ids, without = run(
            make_engine(),
            ask("Hello", ends, top_logprobs=0, return_token_ids=True, **fields),
            ask("Hello", ends, top_logprobs=0, **fields),
        )
        assert len(with_ids.end.logprobs) == len(with_ids.ids)
        assert len(without.end.logprobs) < len(without.ids)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("edit", ["force", "output", "backtrack"])
def test_tokens_after_a_stop_string_within_a_forced_run_are_dropped(edit, stream):
    tokens = [*b"xab", *b"yz", EOS]

    @mod
    def writes(event, actions):
        if isinstance(event, Added) and event.step == 0:
            if edit == "force":
                return actions.force_tokens(tokens)
            return (
                actions.force_output(tokens) if edit == "output" else actions.backtrack(1, tokens)
            )

    fields = {"return_token_ids": True, "top_logprobs": 0, "stream": stream, "stop": ("ab",)}
    answers = run(make_engine(), ask("Hello", writes, max_tokens=30, **fields))
    end, num_forced = answers.end, 3

    assert end.token_ids[-num_forced:] == tuple(b"xab")
    assert len(end.token_ids) == num_forced + (edit == "force")
    assert (end.text[-1:], end.stopped_by, end.finish_reason) == ("x", "ab", "stop")
    assert [entry.token_id for entry in end.logprobs] == list(end.token_ids)
    assert end.forced_by[-num_forced:] == ("writes",) * num_forced
    assert (end.completion_tokens, end.forced_tokens) == (len(end.token_ids), num_forced)
    assert not stream or answers.shown == end.text


def test_a_mod_sees_the_length_up_to_the_stop_string_at_the_end():
    steps = []

    @mod(on=[Prefilled, Finished])
    def writes(event, actions):
        if isinstance(event, Prefilled):
            return actions.force_output(b"xabyz")
        steps.append(event.step)

    assert run(make_engine(), ask("Hello", writes, stop=("ab",))).ids == tuple(b"xab")
    assert steps == [3]


def test_the_prompt_is_the_one_that_mods_left():
    answers = run(make_engine(), ask("Hello", prompts, return_token_ids=True, max_tokens=2))
    (started,) = [update for update in answers.updates if isinstance(update, Started)]

    assert started.prompt_ids == answers.end.prompt_ids == (1, 2, 3)


def test_no_ids_are_sent_unless_requested():
    answers = run(make_engine(), ask("Hello", forces, stream=True))

    assert answers.end.prompt_ids == ()
    assert joined(answers, "token_ids") == ()
