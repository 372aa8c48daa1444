"""Conversations of a model with sliding windows, whose reasoning is dropped in later prompts."""

import random

import pytest
from families import build_model
from tiny import ask, make_engine, run

#: What a chat format writes after a call, and at the end of a prompt.
CALL, BEGIN = [9], [7, 8]


@pytest.mark.parametrize("num_calls", [0, 1])
@pytest.mark.parametrize("window", [8, 128])
def test_turns_read_what_is_new_although_reasoning_was_dropped(window, num_calls):
    engine = make_engine(build_model("gpt_oss", sliding_window=window))
    rng = random.Random(3)
    history, num_held = some(rng, 60), 0
    for _ in range(20):
        prompt = first = history + some(rng, 3, 12) + BEGIN
        kept = []  # of the turn, in later prompts
        for i in range(num_calls + 1):
            request = ask(prompt, max_tokens=rng.randrange(6, 9), ignore_eos=True)
            completed = run(engine, request).end
            num_new = len(prompt) - num_held
            assert completed.prompt_tokens - completed.cached_tokens <= 1.02 * num_new + 16
            ids = [*completed.token_ids[:-1]]
            num_held = len(prompt) + len(ids)
            result = CALL + some(rng, 3, 12) + BEGIN if i < num_calls else CALL
            kept += ids[rng.randrange(2, 4) :] + result  # without the reasoning
            prompt = prompt + ids + result
        history, num_held = first + kept, len(first)


def some(rng, least, most=None):
    """Token ids of a text."""
    return [
        rng.randrange(10, 256) for _ in range(least if most is None else rng.randrange(least, most))
    ]
