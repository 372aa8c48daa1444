"""The engine gives the results of an executor without caches, batches and speculation.

`python -m naive` compares them on any number of programs.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive.compare import check
from naive.models import MODELS
from naive.programs import EOS, EVENTS, from_json, random_program

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
def test_a_random_program_gives_the_results_of_the_naive_executor(dice, model):
    assert_same(random_program(dice, model))


A = [5, 6, 7, 40, 41, 97, 5, 5, 6, 7, 40, 97, 41, 41, 6, 40, 7, 97, 5, 6, 40, 7, 41, 97, 6, 6, 5, 7]
B = [*A[:18], *A[17::-1][:10]]  # the same length and a common prefix; the last ten tokens differ


def added(when, do, times=1):
    rule = {"on": "Added", "when": when, "do": do, "times": times}
    return {"on": ["Added"], "rules": [rule]}


def in_channel(kind, begin, name, do):
    """A mod that reads the channel beside one that opens the reasoning."""
    first = {"on": "ForwardPass", "when": ["nth", 0], "do": ["force", begin], "times": 1}
    rule = {"on": "Added", "when": ["channel", name], "do": do, "times": 3}
    mods = [
        {"on": ["ForwardPass"], "rules": [first]},
        {"on": ["Added", "Sampled"], "rules": [rule]},
    ]
    return {
        "model": "gpt_oss",
        "channels": kind,
        "requests": [
            {
                "prompt": A[:n],
                "max_tokens": 30,
                "mods": mods,
                "stream": n > 5,
                "stop": ["sis", "ab"],
            }
            for n in (3, 5, 7)
        ],
    }


#: Fixed bugs, and programs that reproduce them.
REGRESSIONS = {
    "a mod ends the request with an error at forced tokens that contain a stop string": {
        "model": "llama",
        "requests": [
            {
                "prompt": [1],
                "max_tokens": 20,
                "stop": ["a"],
                "mods": [
                    {
                        "on": ["ForwardPass", "Added", "Finished"],
                        "rules": [
                            {
                                "on": "ForwardPass",
                                "when": ["nth", 0],
                                "do": ["force", [98, 97, 98]],
                            },
                            {"on": "Added", "when": ["nth", 0], "do": ["error", "no more"]},
                        ],
                    }
                ],
            }
        ],
    },
    "white space before the content completes a stop string once it is known to be content": {
        "model": "llama",
        "channels": "tags",
        "requests": [
            {
                "prompt": [0, 0, 0],
                "max_tokens": 30,
                "mods": [added(["nth", 0], ["force", [3]])],
                "sampling": {"temperature": 0, "seed": 0, "logit_bias": {"256": 3.0, "97": 2.5}},
                "stop": [" "],
            }
        ],
    },
    "a mod removes a header of which another one has read the channel": in_channel(
        "harmony", [6, 97, 7, 12, 13], "analysis", ["backtrack", 2, [7, 97, 40, 5, 6, 8, 7]]
    ),
    "a mod removes the tag of which another one has read the channel": in_channel(
        "tags", [5, 14, 15, 6], "final", ["backtrack", 2, [8, 7, 40, 9]]
    ),
    "buffers lose rows that have not moved yet where two end and a longer prompt is admitted": {
        "model": "llama",
        "max_rows": 5,
        "requests": [
            *({"prompt": [6, 5, i], "max_tokens": 4 if i < 2 else 12} for i in range(5)),
            {"prompt": [*range(40)], "max_tokens": 4},
        ],
    },
    "a window snapshot extends past the common prefix of two prompts": {
        "model": "gpt_oss",
        "margin": 128,
        "requests": [
            {"prompt": A, "max_tokens": 3},
            {"prompt": B, "max_tokens": 3, "after": 0},
            {"prompt": B, "max_tokens": 3, "after": 1},
        ],
    },
    "a mod ends the completion again at its own end-of-sequence token": {
        "model": "llama",
        "requests": [
            {"prompt": [1], "max_tokens": 9, "mods": [added(["length", n], do, None)]}
            for n, do in ((1, ["force", [EOS]]), (2, ["backtrack", 1, [EOS]]))
        ],
    },
    "a mod ends a completion whose sampled end-of-sequence tokens are ignored": {
        "model": "llama",
        "requests": [
            {
                "prompt": [1],
                "max_tokens": 9,
                "ignore_eos": True,
                "sampling": {"temperature": 0, "seed": 0, "logit_bias": {str(EOS): 100.0}},
                "mods": [added(["length", 2], do, None)],
            }
            for do in (["force", [5, EOS, 6]], ["backtrack", 1, [EOS]], ["output", [EOS, 7]])
        ],
    },
    "max_tokens is reached and a mod's action adds no token": {
        "model": "llama",
        "requests": [
            {
                "prompt": [1],
                "max_tokens": 3,
                "mods": [added(["length", 3], ["backtrack", 0, None], None)],
            }
        ],
    },
    "max_tokens is 0": {"model": "llama", "requests": [{"prompt": [1], "max_tokens": 0}]},
    "penalties count a forced span that is prefilled in chunks": {
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
    "a forced output is longer than max_tokens": {
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
    "a forced output exceeds the model's context": {
        "model": "llama",
        "context": 23,
        "eos": [EOS],
        "requests": [
            {
                "prompt": A[:20],
                "max_tokens": 1,
                "mods": [added(["always"], ["output", output])],
            }
            for output in (A[:3], A[:4], [*A[:2], EOS, *A[:5]])
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
    "an output is forced at Prefilled and its logprobs exceed the memory": {
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
    "no max_tokens and memory for two requests": {
        "model": "llama",
        "memory": 2.5,
        "max_rows": 2,
        "context": 200,
        "requests": [{"prompt": [1, i], "max_tokens": None} for i in range(3)],
    },
    "contained mods run after the mod that contains them": {
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
    "top_k exceeds the sorted candidates": {
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
    "penalties count a discarded draw": {
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


def scripted(*steps, max_tokens=40, **fields):
    """A request whose mod is a script."""
    mods = [{"on": [], "rules": [], "steps": [["mark", "a"], *steps]}]
    return {"prompt": [1, 2], "max_tokens": max_tokens, "mods": mods, **fields}


#: The letters "a", "b", a full stop and a space are likely.
LIKELY = {"bias": {"97": 9.0, "98": 9.0, "46": 9.0, "32": 9.0}}

SCRIPTS = {
    "self-check": [
        ["generate", {**LIKELY, "sentences": 1}],
        ["ask", " Right? ", ["yes", "no"], "all"],
        ["if", "no", [["rewind", "a"], ["force", "Hm. "], ["generate", {"temperature": 0.3}]], []],
    ],
    "router": [["ask", "Tool? ", ["ab", "b"], "all"], ["if", "ab", [["tool"]], [["error"]]]],
    "best of three": [
        ["repeat", 3, [["rewind", "a"], ["generate", {**LIKELY, "temperature": 2.0, "tokens": 6}]]],
        ["release", "a"],
        ["choose", ["ab", "b", "ca"]],
        ["stop"],
    ],
    "answers that stay": [
        ["force", "Name: "],
        ["ask", "left or lower? ", ["left", "lower"], "prompt"],
        ["ask", ", sure? ", ["yes", "no"], "none"],
        ["generate", {**LIKELY, "until": [". ", "bb"], "keeps_until": True}],
        ["stop"],
    ],
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_gives_the_results_of_its_steps_from_top_to_bottom(name):
    ways = [{}, {"stream": True}, {"stream": True, "show_tokens": True}, {"top_logprobs": 2}]
    requests = [scripted(*SCRIPTS[name], **way) for way in ways]
    requests.append({"prompt": [1, 2, 3], "max_tokens": 30, "mods": [reporting(["noop"])]})
    again = {**scripted(*SCRIPTS[name], after=0, goes_on=True), "prompt": [4]}  # a cached prefix

    for sampling in ({"temperature": 0, "seed": 0}, {"temperature": 1, "seed": 3}):
        with_sampling = [{**each, "sampling": sampling} for each in [*requests, again]]
        assert_same(from_json({"model": "llama", "requests": with_sampling}))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_beside_other_mods_gives_the_results_of_the_naive_executor(name):
    (script,) = scripted(*SCRIPTS[name])["mods"]
    others = [added(["nth", 5], ["backtrack", 3, [97, 98]]), added(["every", 4], ["force", [46]])]
    ways = [{}, {"stream": True}, {"stream": True, "retractions": True}, {"stop": ["b"]}]
    requests = [
        {"prompt": [1, 2], "max_tokens": 40, "mods": mods, **way}
        for other in others
        for mods in ([script, other], [other, script])
        for way in ways
    ]

    assert_same(from_json({"model": "llama", "requests": requests}))


@pytest.mark.parametrize("stop", [[], ["b"], ["e", ". "]])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_stream_never_shows_what_a_script_erases_wherever_the_budget_ends(name, stop):
    requests = [
        scripted(*SCRIPTS[name], max_tokens=n, stream=True, show_tokens=n % 2 == 1, stop=stop)
        for n in range(34)
    ]

    assert_same(from_json({"model": "llama", "requests": requests}))


@pytest.mark.parametrize("name", REGRESSIONS)
def test_a_fixed_bug_stays_fixed(name):
    assert_same(from_json(REGRESSIONS[name]))


def reporting(do):
    """A mod that reports at every event, and acts beside a report at `Added` of the third token."""
    always = [{"on": on, "when": ["always"], "do": ["report", {}], "times": None} for on in EVENTS]
    beside = {"on": "Added", "when": ["length", 3], "do": ["list", [["report", {}], do]]}
    return {"on": list(EVENTS), "rules": [beside, *always], "max_backtrack": 4}


@pytest.mark.parametrize(
    "do",
    [
        ["noop"],
        ["backtrack", 2, [40, 41]],
        ["output", [5, 6]],
        ["error", "no"],
        ["force", [99999]],
        ["report!", {}],
        ["report", {"large": 300_000}],
    ],
    ids=lambda do: do[0],
)
def test_reports_equal_those_of_the_naive_executor_in_batches_streams_and_when_cancelled(do):
    request = {"prompt": [1, 2], "max_tokens": 6, "mods": [reporting(do), reporting(["noop"])]}
    ways = [{}, {"stream": True}, {"stream": True, "show_tokens": True}, {"cancel": 3}, {"at": 2}]

    assert_same(from_json({"model": "llama", "requests": [{**request, **way} for way in ways]}))


@pytest.mark.parametrize("mode", ["cheap", "full"])
@pytest.mark.parametrize("action", ["end", "rewind"])
def test_loops_are_those_of_the_naive_executor_in_batches_streams_and_beside_mods(mode, action):
    loops = {"mode": mode, "action": action, "max_tries": 4}
    likes = {"temperature": 0.7, "seed": 62, "logit_bias": {"5": 19.0, "8": 20.5, "9": 20.5}}
    request = {"prompt": [6, 40, 41], "max_tokens": 20, "sampling": likes, "loops": loops}
    cut = {"on": "Added", "when": ["every", 5], "do": ["backtrack", 2, [5]], "times": None}
    mod = {"on": ["Added"], "rules": [cut], "max_backtrack": 3}
    ways = [{}, {"stream": True}, {"stream": True, "mods": [mod]}, {"top_logprobs": 0, "at": 2}]
    requests = [{**request, **way} for way in ways]
    control = {"control": [5, 9], "headers": [9]}

    for more in ({}, control):
        assert_same(from_json({"model": "llama", "requests": requests, "loop_repeats": 3, **more}))


def test_penalties_are_those_of_the_naive_executor_which_leave_out_control_tokens():
    likes = {"temperature": 0, "logit_bias": {"5": 20.0, "8": 20.1}, "frequency_penalty": 1.5}
    requests = [{"prompt": [6, 40], "max_tokens": 12, "sampling": likes}]

    assert_same(from_json({"model": "llama", "requests": requests, "control": [8]}))


FORMATS = {
    "final": "[ab]{2,5}",
    "tools": {"f": {"type": "object", "properties": {"a": {"enum": [1, 12, 3]}}}},
}

#: The header of a message to the tool `f`.
CALLS_F = [6, 18, 19, 7]


@pytest.mark.parametrize("channel", ["final", "commentary"])
def test_formats_of_messages_are_those_of_masks_that_are_always_known(channel):
    writes = {"on": "ForwardPass", "when": ["length", 3], "times": 1}
    opens = [40, 5, 23, 6, 16, 7] if channel == "final" else [40, 5, 23, *CALLS_F]
    cut = {"on": "Added", "when": ["channel", channel], "times": 2}
    edits = [
        [{**writes, "do": ["force", opens]}],
        [{**writes, "do": ["force", opens[:-1]]}],
        [{**writes, "do": ["force", [*opens, 97]]}],
        [{**writes, "do": ["force", opens]}, {**cut, "do": ["backtrack", 2, None]}],
        [{**writes, "do": ["force", opens]}, {**cut, "do": ["backtrack", 3, [*opens[-2:], 123]]}],
    ]
    mods = [[{"on": ["ForwardPass", "Added"], "rules": rules}] for rules in edits]
    likes = {"5": 20.0, "7": 20.0, "16": 8.0, "19": 8.0, "40": 4.0, "256": -1000.0}
    guard = {"channels": ["analysis", "commentary", "final"], "recipients": ["f"]}
    requests = [
        {
            "prompt": [1, 2, 5, 23],
            "max_tokens": 24,
            "mods": each,
            "formats": FORMATS,
            "guard": guard if i % 3 else {},
            "stream": i % 2 == 1,
            "sampling": {"temperature": i % 2, "seed": i, "top_p": 0.8, "logit_bias": likes},
        }
        for i, each in enumerate([[], [], *mods])
    ]
    program = {"requests": requests, "channels": "harmony", "eos": [253, 254, 255]}

    for model in ("llama", "gpt_oss"):
        assert_same(from_json({"model": model, "alphabet": "short", "candidates": 6, **program}))
