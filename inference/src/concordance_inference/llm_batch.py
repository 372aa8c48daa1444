"""The requests of one call of `LLM`, and what the call returns for their outcomes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from concordance_shared import ConcordanceError, InvalidRequestError
from msgspec.structs import replace

from concordance_inference.chat.request import Prompt
from concordance_inference.choices import best, requests_of_choices, to_rank
from concordance_inference.completion import Completion
from concordance_inference.generation import GenerationRequest, ModCall, SamplingParams
from concordance_inference.llm_options import CheckedOptions
from concordance_inference.loop_detection import chosen
from concordance_inference.mods.banned_strings import with_banned_strings

if TYPE_CHECKING:
    from concordance_inference.runtime import Runtime

Result = Completion | ConcordanceError
Item = TypeVar("Item")

#: What a call returns: an item, a list of them for several prompts or for `n`, or lists for both.
Shaped = Item | list[Item] | list[list[Item]]


class Choices:
    """The numbers of completions to generate for each prompt, and to return."""

    def __init__(self, n: int | None, options: CheckedOptions, *, stream: bool) -> None:
        """Check the two numbers.

        Args:
            n: Completions of each prompt to return, in a list; `None` for one without a list.
            options: Have `best_of`.
            stream: True if they are streamed.

        Raises:
            InvalidRequestError: One is out of range, or `best_of` is to be streamed.
        """
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequestError(f"LLM: n is {n!r}; give a number from 1", param="n")
        self._stream = stream
        self.are_listed = n is not None
        self.n = n or 1
        self.count = options.best_of or self.n
        if self.count < self.n:
            raise InvalidRequestError(
                f"LLM: best_of is {self.count}, less than n, which is {self.n}", param="best_of"
            )
        if stream and options.best_of is not None:
            raise InvalidRequestError(
                "LLM: best_of cannot be streamed: which completions are the best is known at their "
                "end; leave out one of them",
                param="best_of",
            )

    @property
    def are_ranked(self) -> bool:
        """True if more completions are generated than returned."""
        return self.count > self.n

    def requests(
        self, runtime: "Runtime", request: GenerationRequest
    ) -> list[GenerationRequest | ConcordanceError]:
        """Return the requests for one prompt, each with instances of its mods, or an error."""
        choices = requests_of_choices(
            to_rank(request) if self.are_ranked else request,
            self.count,
            all_with_prompt_logprobs=bool(request.mods) or self._stream,
        )
        return [_prepared(runtime, choice) for choice in choices]

    def chosen(self, outcomes: Sequence[Result], *, with_logprobs: bool) -> list[Result]:
        """Return the outcomes to return of one prompt; an error is worse than any completion."""
        first = outcomes[0]
        if isinstance(first, Completion):  # the only one that has them
            outcomes = [_with_prompt_logprobs(outcome, first) for outcome in outcomes]
        if not self.are_ranked:
            return list(outcomes)
        ends = [outcome for outcome in outcomes if isinstance(outcome, Completion)]
        errors = [outcome for outcome in outcomes if not isinstance(outcome, Completion)]
        ranked = best(ends, self.n)
        if not with_logprobs:
            ranked = [replace(each, logprobs=(), mean_logprob=None) for each in ranked]
        return [*ranked, *errors][: self.n]


class Batch:
    """The requests of one call, with an error in place of each that cannot be run."""

    def __init__(
        self,
        requests: list[GenerationRequest | ConcordanceError],
        choices: Choices,
        options: CheckedOptions,
        *,
        is_list: bool,
    ) -> None:
        """Hold the requests.

        Args:
            requests: Those of each prompt, one prompt after another.
            choices: How many there are of each.
            options: The options of the call.
            is_list: True if a list of prompts was given.
        """
        self.requests = requests
        self._choices = choices
        self._options = options
        self._is_list = is_list

    def results(self, outcomes: Sequence[Result]) -> Shaped[Result]:
        """What the call returns.

        Raises:
            ConcordanceError: A request failed, and errors are not to be returned.
        """
        if not self._options.return_errors:
            self._raise_first_error(outcomes)
        has_logprobs = self._options.top_logprobs is not None
        return self._shaped(
            [
                self._choices.chosen(group, with_logprobs=has_logprobs)
                for group in self._by_prompt(outcomes)
            ]
        )

    def streams(self, streams: Sequence[Item]) -> Shaped[Item]:
        """What a call returns that streams."""
        return self._shaped(self._by_prompt(streams))

    def _raise_first_error(self, outcomes: Sequence[Result]) -> None:
        count = self._choices.count
        for i, outcome in enumerate(outcomes):
            if isinstance(outcome, ConcordanceError):
                if self._is_list:
                    num_prompts = len(outcomes) // count
                    outcome.add_note(f"prompt {i // count} of a list of {num_prompts}")
                if count > 1:
                    outcome.add_note(f"completion {i % count} of {count}")
                raise outcome

    def _by_prompt(self, items: Sequence[Item]) -> list[list[Item]]:
        count = self._choices.count
        return [list(items[i : i + count]) for i in range(0, len(items), count)]

    def _shaped(self, groups: list[list[Item]]) -> Shaped[Item]:
        if self._choices.are_listed:
            return groups if self._is_list else groups[0]
        return [group[0] for group in groups] if self._is_list else groups[0][0]


def make_batch(
    runtime: "Runtime",
    prompts: Sequence[Prompt],
    options: CheckedOptions,
    choices: Choices,
    *,
    sampling: SamplingParams,
    mods: tuple[ModCall, ...],
    is_list: bool,
) -> Batch:
    """Make the requests for prompts."""
    requests: list[GenerationRequest | ConcordanceError] = []
    for prompt in prompts:
        try:
            request = _request(runtime, prompt, options, sampling, mods)
        except ConcordanceError as exc:
            requests += [exc] * choices.count
        else:
            requests += choices.requests(runtime, request)
    return Batch(requests, choices, options, is_list=is_list)


def _request(
    runtime: "Runtime",
    prompt: Prompt,
    options: CheckedOptions,
    sampling: SamplingParams,
    mods: tuple[ModCall, ...],
) -> GenerationRequest:
    return runtime.request(
        prompt,
        schemas=options.schemas,
        template_options=options.chat_template_kwargs,
        rendering=options.rendering,
        reasoning=options.reasoning,
        tool_choice=options.tool_use,
        truncation=options.truncation,
        max_tokens=options.max_tokens,
        sampling=sampling,
        stop=options.stop_strings,
        stop_token_ids=options.stop_token_ids,
        ignore_eos=options.ignore_eos,
        min_tokens=options.min_tokens,
        loop_detection=chosen(options.loop_detection, ignores_eos=options.ignore_eos),
        mods=with_banned_strings(mods, options.banned_strings),
        top_logprobs=options.top_logprobs,
        sampled_logprobs=options.sampled_logprobs,
        prompt_logprobs=options.prompt_logprobs,
        stream=True,
        show_tokens=True,
    )


def _prepared(
    runtime: "Runtime", request: GenerationRequest
) -> GenerationRequest | ConcordanceError:
    """A request with its mods prepared, or why it cannot be run."""
    try:
        return runtime.prepare(request)
    except ConcordanceError as exc:
        return exc


def _with_prompt_logprobs(outcome: Result, first: Completion) -> Result:
    if isinstance(outcome, Completion) and not outcome.prompt_logprobs:
        return replace(outcome, prompt_logprobs=first.prompt_logprobs)
    return outcome
