"""Several completions of one prompt, which is processed once."""

import time
from collections.abc import Iterator, Sequence

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.figures import Effort, Figure, alternate, compared
from concordance_inference.choices import requests_of_choices
from concordance_inference.engine.engine import Engine
from concordance_inference.generation import GenerationRequest, SamplingParams

_NUM_CHOICES = 8
_NUM_TOKENS = 4  # of each completion

_SAMPLING = SamplingParams(seed=1)


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Compare 8 choices with 8 requests whose prompts differ, and with one request."""
    engine = subject.engine(max_rows=_NUM_CHOICES)
    prompts = [subject.prompt(effort.prefill_tokens, seed) for seed in range(_NUM_CHOICES)]
    choices, others, one = alternate(
        [
            lambda: _seconds(engine, requests_of_choices(_request(prompts[0]), _NUM_CHOICES)),
            lambda: _seconds(engine, [_request(prompt) for prompt in prompts]),
            lambda: _seconds(engine, [_request(prompts[0])]),
        ],
        rounds=effort.rounds,
    )
    what = f"{_NUM_CHOICES} choices of {effort.prefill_tokens} + {_NUM_TOKENS} tokens"
    yield compared(f"{what}, against other prompts", subject.name, "s", choices, others)
    yield compared(f"{what}, against one", subject.name, "s", choices, one)


def _request(prompt_ids: Sequence[int]) -> GenerationRequest:
    return request(prompt_ids, _NUM_TOKENS, sampling=_SAMPLING)


def _seconds(engine: Engine, requests: Sequence[GenerationRequest]) -> float:
    start = time.perf_counter()
    drive.run(engine, *requests)
    return time.perf_counter() - start
