"""Several completions of one prompt: a request for each, and which of them are the best."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from msgspec.structs import replace

from concordance_inference.generation import GenerationRequest, new_request_id

_MASK = 2**64 - 1


def seed_of_choice(seed: int, index: int) -> int:
    """Return the seed with which a request alone gives choice `index` of one with `seed`.

    Choice 0 has the seed itself. Choice i has output i, counted from 1, of the generator SplitMix64
    that starts at `seed`, as a signed integer: requests with consecutive seeds have no choice in
    common, as they would with `seed + i`.

    >>> [seed_of_choice(7, i) for i in range(3)]
    [7, 7191089600892374487, 309689372594955804]
    """
    if not index:
        return seed
    z = (seed + index * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    z ^= z >> 31
    return z - 2**64 if z >= 2**63 else z


def requests_of_choices(
    request: GenerationRequest, count: int, *, all_with_prompt_logprobs: bool = False
) -> tuple[GenerationRequest, ...]:
    """Return a request for each choice, with a seed and mods of its own.

    Their prompts are equal, so the engine processes the prompt once.

    Args:
        request: The request of choice 0; its mods have no instances yet.
        count: The number of choices.
        all_with_prompt_logprobs: Each choice has the log-probabilities of the prompt, if they are
            requested, which takes processing it for each; otherwise the first one has.
    """
    others = request if all_with_prompt_logprobs else replace(request, prompt_logprobs=None)
    return (request, *(_choice(others, i) for i in range(1, count)))


def _choice(request: GenerationRequest, index: int) -> GenerationRequest:
    seed = request.sampling.seed
    sampling = request.sampling
    if seed is not None:
        sampling = replace(sampling, seed=seed_of_choice(seed, index))
    return replace(
        request,
        request_id=new_request_id(),
        sampling=sampling,
    )


def to_rank(request: GenerationRequest) -> GenerationRequest:
    """Return a request whose completion has what `best` needs."""
    return replace(request, top_logprobs=request.top_logprobs or 0)


class HasMeanLogprob(Protocol):
    """A completion."""

    @property
    def mean_logprob(self) -> float | None:
        """That of all of its tokens."""
        ...


Ranked = TypeVar("Ranked", bound=HasMeanLogprob)


def best(ends: Sequence[Ranked], count: int) -> list[Ranked]:
    """Return the `count` completions with the highest mean log-probability, best first.

    The mean is over all tokens, forced ones and an end-of-sequence token included, of the model's
    own log-probabilities. Of equal ones the earlier is better; one without tokens is the worst.
    """
    return sorted(ends, key=_mean_logprob, reverse=True)[:count]


def _mean_logprob(completion: HasMeanLogprob) -> float:
    mean = completion.mean_logprob
    return float("-inf") if mean is None else mean
