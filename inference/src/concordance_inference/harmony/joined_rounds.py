"""Joins the completions of several rounds to one."""

from collections.abc import Iterable, Sequence

import msgspec

from concordance_inference.generation import Completed, TextDelta
from concordance_inference.mark import Mark
from concordance_inference.usage_sums import summed


def joined(before: Completed | None, after: Completed) -> Completed:
    """Return two completions as one: the texts and counts of both, and the end of the second.

    Args:
        before: The rounds before; `None` if there is none.
        after: The round that follows.
    """
    if before is None:
        return after
    return msgspec.structs.replace(
        after,
        text=before.text + after.text,
        marks=before.marks + _moved(after.marks, len(before.text)),
        token_ids=before.token_ids + after.token_ids,
        forced_by=before.forced_by + after.forced_by,
        logprobs=before.logprobs + after.logprobs,
        mean_logprob=_mean(before, after),
        reports=before.reports + after.reports,
        mods=summed([*before.mods, *after.mods]),
        loops=before.loops + after.loops,
        actions=before.actions + after.actions,
        num_actions=before.num_actions + after.num_actions,
        prompt_ids=before.prompt_ids,
        prompt_logprobs=before.prompt_logprobs,
        prompt_tokens=before.prompt_tokens,
        cached_tokens=before.cached_tokens,
        completion_tokens=before.completion_tokens + after.completion_tokens,
        forced_tokens=before.forced_tokens + after.forced_tokens,
        backtracked_tokens=before.backtracked_tokens + after.backtracked_tokens,
        reasoning_tokens=before.reasoning_tokens + after.reasoning_tokens,
    )


def followed(
    completed: Completed, between: TextDelta, token_ids: Sequence[int], tool: str
) -> Completed:
    """Return a completion followed by the result of a tool, which counts as forced by it.

    Args:
        completed: The completion.
        between: The text of the result.
        token_ids: Its tokens.
        tool: The tool.
    """
    return msgspec.structs.replace(
        completed,
        text=completed.text + between.text,
        marks=completed.marks + _moved(between.marks, len(completed.text)),
        token_ids=(*completed.token_ids, *token_ids),
        forced_by=completed.forced_by + (tool,) * len(token_ids),
    )


def _moved(marks: Iterable[Mark], by: int) -> tuple[Mark, ...]:
    return tuple(mark.moved(by) for mark in marks)


def _mean(before: Completed, after: Completed) -> float | None:
    if before.mean_logprob is None or after.mean_logprob is None:
        return after.mean_logprob
    counts = before.completion_tokens, after.completion_tokens
    total = before.mean_logprob * counts[0] + after.mean_logprob * counts[1]
    return total / max(sum(counts), 1)
