"""Token counts in OpenAI's shape."""

from concordance_inference.generation import Completed
from concordance_inference.server.openai.usage import sum_of, usage
from concordance_shared import FinishReason


def end_of(**counts):
    return Completed(text="", token_ids=(), finish_reason=FinishReason.STOP, **counts)


ONE = end_of(
    prompt_tokens=10, completion_tokens=5, cached_tokens=4, reasoning_tokens=2, forced_tokens=1,
    backtracked_tokens=3,
)  # fmt: skip


def test_tokens_of_the_completion_are_sampled_or_forced():
    counts = usage(ONE)

    assert counts["total_tokens"] == 15
    assert counts["prompt_tokens_details"] == {"cached_tokens": 4}
    assert counts["completion_tokens_details"] == {
        "reasoning_tokens": 2,
        "sampled_tokens": 4,
        "forced_tokens": 1,
        "backtracked_tokens": 3,
    }


def test_a_prompt_of_several_completions_counts_once():
    other = end_of(prompt_tokens=10, completion_tokens=7, cached_tokens=9, forced_tokens=2)
    second = end_of(prompt_tokens=100, completion_tokens=1)

    counts = sum_of([ONE, other, second, second], per_prompt=2)

    assert (counts["prompt_tokens"], counts["completion_tokens"]) == (110, 14)
    assert counts["total_tokens"] == 124
    assert counts["prompt_tokens_details"] == {"cached_tokens": 4}
    assert counts["completion_tokens_details"]["forced_tokens"] == 3


def test_several_prompts_count_each():
    assert sum_of([ONE, ONE])["prompt_tokens"] == 20
    assert sum_of([ONE]) == usage(ONE)
