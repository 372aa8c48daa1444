"""The law of laws: the engine does what an executor without caches, batches and bets does.

`python -m naive` compares them on as many programs as one likes.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive.compare import check
from naive.models import MODELS
from naive.programs import from_json, random_program

few = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def assert_same(program):
    report = check(program)
    command = f"python -m naive --program '{program.to_json()}'"
    assert not report.differences, f"{report.differences[0]}\n{command}"


@few
@given(dice=st.randoms(use_true_random=False), model=st.sampled_from(MODELS))
def test_a_random_program_gives_what_an_executor_without_caches_gives(dice, model):
    assert_same(random_program(dice, model))


A = [5, 6, 7, 40, 41, 97, 5, 5, 6, 7, 40, 97, 41, 41, 6, 40, 7, 97, 5, 6, 40, 7, 41, 97, 6, 6, 5, 7]
B = [*A[:18], *A[17::-1][:10]]  # of equal length, different in the last ten tokens


def added(when, do, times=1):
    rule = {"on": "Added", "when": when, "do": do, "times": times}
    return {"on": ["Added"], "rules": [rule]}


#: What once went wrong, and a program that showed it.
ONCE_WRONG = {
    "a window snapshot reaches past the common beginning of two prompts": {
        "model": "gpt_oss",
        "margin": 128,
        "requests": [
            {"prompt": A, "max_tokens": 3},
            {"prompt": B, "max_tokens": 3, "after": 0},
            {"prompt": B, "max_tokens": 3, "after": 1},
        ],
    },
    "a full budget and a decision that adds nothing": {
        "model": "llama",
        "requests": [
            {
                "prompt": [1],
                "max_tokens": 3,
                "mods": [added(["length", 3], ["backtrack", 0, None], None)],
            }
        ],
    },
    "no budget": {"model": "llama", "requests": [{"prompt": [1], "max_tokens": 0}]},
    "a forced span that is read in pieces is counted by penalties": {
        "model": "llama",
        "chunk": 3,
        "requests": [
            {
                "prompt": [1],
                "max_tokens": 40,
                "sampling": {"temperature": 0, "repetition_penalty": 1.8},
                "top_logprobs": 0,
                "mods": [added(["nth", 1], ["force", A[:9]])],
            },
            {"prompt": [2], "max_tokens": 40},
        ],
    },
    "a forced output that is longer than the budget": {
        "model": "llama",
        "chunk": 3,
        "requests": [
            {
                "prompt": [1],
                "max_tokens": 3,
                "top_logprobs": 0,
                "mods": [added(["nth", 0], ["output", A * 3])],
            },
            *({"prompt": [2, i], "max_tokens": 2, "at": 4 * i} for i in range(1, 6)),
        ],
    },
    "a prompt that a mod lengthens waits for memory": {
        "model": "llama",
        "memory": 1.5,
        "requests": [
            {"prompt": [1], "max_tokens": 8},
            {
                "prompt": [2],
                "max_tokens": 8,
                "mods": [
                    {
                        "on": ["Prefilled"],
                        "rules": [{"on": "Prefilled", "when": ["always"], "do": ["prefill", A, 0]}],
                    }
                ],
            },
        ],
    },
    "an output that is set before the prompt is read and whose logprobs never fit": {
        "model": "llama",
        "memory": 0.6,
        "max_rows": 1,
        "context": 200,
        "requests": [
            {
                "prompt": A,
                "max_tokens": 8,
                "top_logprobs": 0,
                "mods": [
                    {
                        "on": ["Prefilled"],
                        "rules": [{"on": "Prefilled", "when": ["nth", 0], "do": ["output", A * 3]}],
                    }
                ],
            },
            {"prompt": [1], "max_tokens": 3},
        ],
    },
    "no max_tokens and room for two such requests": {
        "model": "llama",
        "memory": 2.5,
        "max_rows": 2,
        "context": 200,
        "requests": [{"prompt": [1, i], "max_tokens": None} for i in range(3)],
    },
    "mods in mods act behind the one that contains them": {
        "model": "llama",
        "requests": [
            {
                "prompt": [1],
                "max_tokens": 6,
                "mods": [
                    {
                        **added(["nth", 1], ["force", [5, 6]]),
                        "contains": [
                            {
                                **added(["nth", 0], ["force", [7]]),
                                "contains": [added(["every", 2], ["backtrack", 1, [40]], 3)],
                            },
                            added(["always"], ["noop"], None),
                        ],
                    },
                    added(["nth", 2], ["force", [41]]),
                ],
            }
        ],
    },
    "more tokens are kept by rank than are sorted": {
        "model": "llama+3001",
        "requests": [
            {
                "prompt": [1],
                "max_tokens": 12,
                "sampling": {
                    "temperature": 4,
                    "seed": 3,
                    "top_p": 0.95,
                    "repetition_penalty": 1.8,
                },
                "top_logprobs": 0,
            },
            {"prompt": [1], "max_tokens": 12, "sampling": {"temperature": 4, "top_k": 1500}},
        ],
    },
    "a draw that is discarded is counted by penalties": {
        "model": "llama",
        "candidates": 6,
        "requests": [
            {
                "prompt": [0],
                "max_tokens": 25,
                "sampling": {
                    "temperature": 0.7,
                    "seed": 0,
                    "top_p": 0.5,
                    "repetition_penalty": 0.3,
                    "frequency_penalty": 1.5,
                },
            }
        ],
    },
}


@pytest.mark.parametrize("name", ONCE_WRONG)
def test_what_was_once_wrong_is_right(name):
    assert_same(from_json(ONCE_WRONG[name]))
