"""Requests of the choices of one request, and which completions are the best."""

import pytest
from concordance_inference.choices import best, requests_of_choices, seed_of_choice, to_rank
from concordance_inference.generation import Completed, SamplingParams
from concordance_sdk import mod
from tiny import EOS, ask, make_engine, run


@mod
def quiet(event, actions):
    pass


def completed(text, *logprobs):
    return Completed(
        text=text,
        token_ids=(1,) * len(logprobs),
        finish_reason="stop",
        mean_logprob=sum(logprobs) / len(logprobs) if logprobs else None,
        prompt_tokens=3,
        completion_tokens=len(logprobs),
    )


def test_the_first_choice_has_the_seed_of_the_request():
    assert seed_of_choice(-3, 0) == -3


def test_seeds_of_choices_are_the_outputs_of_splitmix64():
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423 - 2**64]

    assert [seed_of_choice(1234567, i) for i in (1, 2, 3)] == published


def test_requests_with_consecutive_seeds_have_no_choice_in_common():
    seeds = [seed_of_choice(seed, i) for seed in range(-20, 20) for i in range(50)]

    assert len(set(seeds)) == len(seeds)
    assert all(-(2**63) <= seed < 2**63 for seed in seeds)


def test_each_choice_has_an_id_and_a_seed_of_its_own_and_the_prompt_of_all():
    request = ask("Hello", quiet, sampling=SamplingParams(seed=7))
    choices = requests_of_choices(request, 3)

    assert choices[0].request_id == request.request_id
    assert len({one.request_id for one in choices}) == 3
    assert [one.sampling.seed for one in choices] == [seed_of_choice(7, i) for i in range(3)]
    assert {one.prompt_ids for one in choices} == {request.prompt_ids}
    assert all(one.mods == request.mods for one in choices)


def test_choices_without_a_seed_draw_their_own():
    choices = requests_of_choices(ask("Hello", sampling=SamplingParams()), 2)

    assert [one.sampling.seed for one in choices] == [None, None]


@pytest.mark.parametrize("all_with_them", [False, True])
def test_the_first_choice_or_all_have_logprobs_of_the_prompt(all_with_them):
    request = ask("Hello", prompt_logprobs=2)
    choices = requests_of_choices(request, 2, all_with_prompt_logprobs=all_with_them)

    assert [one.prompt_logprobs for one in choices] == [2, 2 if all_with_them else None]


def test_a_request_to_rank_asks_for_the_logprobs_of_every_token():
    assert to_rank(ask("Hello")).top_logprobs == 0
    assert to_rank(ask("Hello", top_logprobs=3)).top_logprobs == 3


def test_a_request_with_logprobs_has_the_mean_of_all_tokens_also_of_the_one_that_ends_it():
    fields = {"max_tokens": 6, "sampling": SamplingParams(logit_bias={EOS: 100.0})}
    ended = run(make_engine(), ask("Hello", top_logprobs=0, **fields)).end
    with_ids = ask("Hello", top_logprobs=0, return_token_ids=True, **fields)
    (entry,) = run(make_engine(), with_ids).end.logprobs

    assert ended.logprobs == ()
    assert ended.mean_logprob == entry.logprob
    assert run(make_engine(), ask("Hello", **fields)).end.mean_logprob is None


def test_the_best_have_the_highest_mean_logprob_and_of_equal_ones_the_earlier():
    ends = [
        completed("none"),
        completed("short", -2.0),
        completed("long", *[-1.0] * 9),
        completed("impossible", -0.1, float("-inf")),
        completed("also short", -2.0),
    ]

    assert [end.text for end in best(ends, 4)] == ["long", "short", "also short", "none"]
