"""Several completions of a prompt in the Python API, and log-probabilities of its tokens."""

import asyncio

import pytest
from concordance_inference import LLM
from concordance_inference.choices import seed_of_choice
from concordance_inference.engine.config import EngineConfig
from concordance_sdk import ModRaisedError, Prefilled, mod
from concordance_shared import InvalidRequestError
from tiny_folder import write_tiny_folder

OPTIONS = {"max_tokens": 8, "seed": 5, "temperature": 1.5}


@pytest.fixture(name="llm", scope="module")
def _llm(tmp_path_factory):
    folder = write_tiny_folder(tmp_path_factory.mktemp("model") / "tiny")
    with LLM(folder, config=EngineConfig(max_rows=4)) as llm:
        yield llm


@mod(on=[Prefilled], registered=False)
def kaput(event, actions):
    raise RuntimeError


def test_each_of_n_completions_is_that_of_a_request_with_its_seed(llm):
    completions = llm.generate("Hello", n=3, **OPTIONS)
    alone = [llm.generate("Hello", **{**OPTIONS, "seed": seed_of_choice(5, i)}) for i in range(3)]

    assert [one.token_ids for one in completions] == [one.token_ids for one in alone]


def test_one_of_n_is_a_list_too(llm):
    (completion,) = llm.generate("Hello", n=1, **OPTIONS)

    assert completion.token_ids == llm.generate("Hello", **OPTIONS).token_ids


def test_a_list_of_prompts_has_a_list_of_n_completions_for_each(llm):
    results = llm.generate(["One", "Two"], n=2, **OPTIONS)
    one, two = (llm.generate(prompt, n=2, **OPTIONS) for prompt in ("One", "Two"))

    expected = [[completion.text for completion in each] for each in (one, two)]
    assert [[completion.text for completion in each] for each in results] == expected


def test_n_completions_are_streamed_by_as_many_streams(llm):
    streams = llm.generate("Hello", n=2, stream=True, **OPTIONS)
    whole = llm.generate("Hello", n=2, **OPTIONS)

    assert ["".join(delta.text for delta in s) for s in streams] == [one.text for one in whole]


def test_n_completions_from_an_event_loop(llm):
    completions = asyncio.run(llm.agenerate("Hello", n=2, **OPTIONS))

    expected = [one.text for one in llm.generate("Hello", n=2, **OPTIONS)]
    assert [one.text for one in completions] == expected


def test_best_of_returns_the_completions_with_the_highest_mean_logprob(llm):
    every = llm.generate("Hello", n=6, logprobs=True, ignore_eos=True, **OPTIONS)
    ranked = llm.generate("Hello", n=2, best_of=6, ignore_eos=True, **OPTIONS)

    def mean(completion):
        return sum(entry.logprob for entry in completion.logprobs) / len(completion.logprobs)

    expected = sorted(every, key=mean, reverse=True)[:2]
    assert [one.token_ids for one in ranked] == [one.token_ids for one in expected]
    assert ranked[0].logprobs == ()


def test_the_best_of_several_without_n_is_one_completion(llm):
    best = llm.generate("Hello", best_of=3, **OPTIONS)

    assert best.token_ids == llm.generate("Hello", n=1, best_of=3, **OPTIONS)[0].token_ids


def test_an_error_of_one_of_n_is_raised_or_in_its_place(llm):
    with pytest.raises(ModRaisedError) as caught:
        llm.generate(["One"], n=2, mods=[kaput], **OPTIONS)
    assert caught.value.__notes__[-1] == "completion 0 of 2"

    (errors,) = llm.generate(["One"], n=2, mods=[kaput], return_errors=True, **OPTIONS)
    assert [type(error) for error in errors] == [ModRaisedError] * 2


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": "two"}, "n"),
        ({"n": True}, "n"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 0}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"sampled_logprobs": True}, "sampled_logprobs"),
        ({"prompt_logprobs": 21}, "prompt_logprobs"),
    ],
)
def test_options_of_choices_that_are_not_valid_are_refused_by_name(llm, options, param):
    with pytest.raises(InvalidRequestError) as caught:
        llm.generate("Hello", **options)

    assert caught.value.param == param


def test_every_completion_of_n_has_the_logprobs_of_the_prompt(llm):
    one, two = llm.generate("Hello you", n=2, prompt_logprobs=1, **OPTIONS)

    assert one.prompt_logprobs == two.prompt_logprobs
    first, *others = one.prompt_logprobs
    assert first is None
    assert [entry.token_id for entry in others] == list(one.prompt_ids[1:])
    assert all((entry.rank == 1) == (entry.top[0][0] == entry.token_id) for entry in others)


def test_sampled_logprobs_are_beside_the_models_own(llm):
    completion = llm.generate("Hello", logprobs=True, sampled_logprobs=True, top_k=1, **OPTIONS)

    assert {entry.sampled_logprob for entry in completion.logprobs} == {0.0}
    assert all(entry.logprob < 0 for entry in completion.logprobs)
