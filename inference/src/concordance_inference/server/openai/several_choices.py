"""Several completions of each prompt: the fields `n` and `best_of`."""

from collections.abc import Sequence
from typing import Any

from concordance_shared import InvalidRequestError
from msgspec import Struct
from msgspec.structs import replace

from concordance_inference.choices import best, requests_of_choices, to_rank
from concordance_inference.generation import Completed, EngineClient, GenerationRequest
from concordance_inference.server.openai.unsupported import Harmless
from concordance_inference.server.openai.usage import sum_of

#: The fields in requests that have one completion, with the values that change nothing there.
HARMLESS: dict[str, Harmless] = {"n": (1,), "best_of": (1,)}


class Choices(Struct, frozen=True, kw_only=True):
    """The number of choices for each prompt.

    Attributes:
        n: In the response.
        count: Generated, of which the `n` best are in the response.
    """

    n: int = 1
    count: int = 1

    @property
    def are_ranked(self) -> bool:
        """True if more choices are generated than the response has."""
        return self.count > self.n

    def generations(
        self, request: GenerationRequest, *, all_with_prompt_logprobs: bool = False
    ) -> tuple[GenerationRequest, ...]:
        """Return what the engine runs for one prompt; see `requests_of_choices`."""
        return requests_of_choices(
            replace(to_rank(request), is_candidate=True) if self.are_ranked else request,
            self.count,
            all_with_prompt_logprobs=all_with_prompt_logprobs,
        )

    def usage(self, ends: Sequence[Completed]) -> dict[str, Any]:
        """Count the tokens of all that was generated; each prompt counts once."""
        return sum_of(ends, per_prompt=self.count)

    def chosen(self, ends: Sequence[Completed]) -> list[Completed]:
        """Return the completions that the response has, those of one prompt after another."""
        groups = [ends[i : i + self.count] for i in range(0, len(ends), self.count)]
        return [end for group in groups for end in self._chosen(group)]

    def _chosen(self, group: Sequence[Completed]) -> list[Completed]:
        chosen = best(group, self.n) if self.are_ranked else group
        return [_with_prompt_logprobs(end, group[0]) for end in chosen]


def choices_of(
    n: int | None,
    best_of: int | None,
    engine: EngineClient,
    *,
    streams: bool,
    num_prompts: int = 1,
) -> Choices:
    """Return how many choices a request asks for.

    Args:
        n: The field.
        best_of: The field.
        engine: Limits them: each is a request to it.
        streams: The response is streamed.
        num_prompts: Prompts of the request.

    Raises:
        InvalidRequestError: The engine takes fewer, the numbers contradict each other, or the best
            are to be streamed; `param` is the field.
    """
    n = n or 1
    count = n if best_of is None else best_of
    if count < n:
        raise InvalidRequestError(
            f"best_of is {count}, less than n, which is {n}; raise it to at least {n}",
            param="best_of",
        )
    if count > n and streams:
        raise InvalidRequestError(
            "best_of is not available in a stream: which completions are the best is known at "
            "their end; leave out one of them",
            param="best_of",
        )
    name = "best_of" if count > n else "n"
    most = engine.max_requests // num_prompts
    if 1 < count > most:
        of_each = f" of each of {num_prompts} prompts" if num_prompts > 1 else ""
        raise InvalidRequestError(
            f"{name} is {count}; this server runs and queues at most {most} completions{of_each}",
            param=name,
        )
    return Choices(n=n, count=count)


def _with_prompt_logprobs(end: Completed, first: Completed) -> Completed:
    """Give a completion those of the prompt, which the first one has for all."""
    if end.prompt_logprobs or not first.prompt_logprobs:
        return end
    return replace(end, prompt_logprobs=first.prompt_logprobs)
