"""Completions that loop: they end with a reason, or continue without the loop."""

import msgspec
import pytest
from concordance_inference.engine.loops import guard
from concordance_inference.generation import SamplingParams
from concordance_inference.loop_detection import FoundLoop, LoopDetection
from concordance_inference.resume.beginning import Beginning
from concordance_sdk import Added, ForwardPass, mod
from concordance_shared import FinishReason
from tiny import GREEDY, TRAITS, ask, finish, make_engine, submit

A, B, C, X = b"abcx"
END = LoopDetection()
REWIND = LoopDetection(action="rewind", max_tries=3)
FULL = LoopDetection(mode="full")
FULL_REWIND = LoopDetection(mode="full", action="rewind", max_tries=3)

#: The model's own choices in the loops of these tests.
ALWAYS_A = SamplingParams(temperature=0.0, logit_bias={A: 100.0})


@pytest.fixture(autouse=True)
def few_repeats(monkeypatch):
    """Take eight repeated tokens for a loop."""
    monkeypatch.setattr(guard, "enough_repeats", lambda period: max(8, 2 * period))


def says(text):
    """Make the model choose `text` again and again, where nothing is banned."""

    @mod(on=[ForwardPass], registered=False, max_backtrack=0)
    def choose(event, actions):
        return actions.adjust_logits(bias={text[event.step % len(text)]: 100.0})

    return choose


def completed(*mods, engine=None, **fields):
    engine = engine or make_engine()
    answers = submit(engine, ask("Hello", *mods, **{"max_tokens": 40, **fields}))
    finish(engine)
    return answers.end


def test_one_token_repeated_ends_the_completion_with_length_and_the_loop():
    end = completed(sampling=ALWAYS_A, loop_detection=END)
    assert end.finish_reason is FinishReason.LENGTH
    assert end.text == "a" * 9
    assert end.loops == (FoundLoop(begin=0, period=1, repeats=9, outcome="ended"),)


def test_off_finds_nothing():
    end = completed(sampling=ALWAYS_A)
    assert (len(end.token_ids), end.loops) == (40, ())


def test_cheap_does_not_find_longer_periods_and_full_does():
    assert completed(says(b"abc"), loop_detection=END).loops == ()
    end = completed(says(b"abc"), loop_detection=FULL)
    assert end.text == "abcabcabcab"
    assert end.loops == (FoundLoop(begin=0, period=3, repeats=3, outcome="ended"),)


def test_rewind_samples_the_first_repeat_again_without_the_token_that_began_it():
    end = completed(sampling=ALWAYS_A, loop_detection=msgspec.structs.replace(REWIND, max_tries=1))
    assert end.text[0] == "a"
    assert end.text[1] != "a"
    assert end.text[2:] == "a" * 9
    assert [(loop.begin, loop.outcome, loop.tries) for loop in end.loops] == [
        (0, "rewound", 1),
        (2, "ended", 1),
    ]
    assert end.backtracked_tokens == 8
    assert end.completion_tokens == 11


def test_loop_that_is_left_does_not_end_the_completion():
    was_left = []

    @mod(on=[ForwardPass], registered=False)
    def loop_until_left(event, actions):
        was_left.append(event.step == 1 and event.logits.to_numpy()[A] < -1e8)
        best = b"abcdefghijklmnopqrstuvwxyz"[event.step] if any(was_left) else A
        return actions.adjust_logits(bias={best: 100.0})

    end = completed(loop_until_left, max_tokens=20, loop_detection=REWIND)
    assert [loop.outcome for loop in end.loops] == ["rewound"]
    assert end.text == "abcdefghijklmnopqrst"


def test_bans_at_one_step_add_up():
    """The second loop begins where the first one was left, with another token."""
    bias = {A: 100.0, B: 90.0, C: 80.0}
    sampling = SamplingParams(temperature=0.0, logit_bias=bias)
    end = completed(sampling=sampling, loop_detection=FULL_REWIND)
    assert end.finish_reason is FinishReason.LENGTH
    assert [loop.tries for loop in end.loops] == [1, 2, 3, 3]


def test_bans_end_with_a_backtrack_before_them():
    """A mod removes the tokens that a banned token followed; there it is sampled again."""
    added = []

    @mod(on=[Added], registered=False, max_backtrack=None)
    def restart(event, actions):
        added.append(event.step)
        is_after_rewind = added.count(1) == 2 and event.step == 2
        return actions.backtrack(3) if is_after_rewind else None

    end = completed(restart, sampling=ALWAYS_A, loop_detection=REWIND)
    assert [(loop.begin, loop.tries) for loop in end.loops][:2] == [(0, 1), (0, 2)]


@pytest.mark.parametrize("detection", [END, REWIND, FULL, FULL_REWIND])
@pytest.mark.parametrize("mods", [(), (says(b"ab"),), (says(b"abcd"),)], ids=["-", "ab", "abcd"])
def test_results_are_the_same_alone_in_a_batch_streamed_or_not(detection, mods):
    fields = {"loop_detection": detection, "max_tokens": 60}
    sampling = SamplingParams(seed=3, temperature=0.7, logit_bias={A: 6.0, B: 5.0})
    expected = completed(*mods, sampling=sampling, **fields)
    ways = [
        {"stream": True},
        {"stream": True, "include_retractions": True},
        {"stream": True, "top_logprobs": 0},
        {"stop": ("zzz",)},
        {"top_logprobs": 1, "sampled_logprobs": True},
    ]
    engine = make_engine(max_rows=8)
    all_answers = []
    for way in ways:
        all_answers.append(submit(engine, ask("Hello", *mods, sampling=sampling, **fields, **way)))
        engine.step()
        submit(engine, ask("Other", max_tokens=7))
    finish(engine)
    for answers in all_answers:
        assert answers.end.token_ids == expected.token_ids
        assert answers.end.loops == expected.loops
        assert answers.end.backtracked_tokens == expected.backtracked_tokens
        if answers.deltas:
            assert answers.shown == expected.text


@pytest.mark.parametrize("detection", [REWIND, FULL_REWIND])
def test_stream_never_shows_text_that_is_rewound(detection):
    engine = make_engine()
    request = ask("Hello", says(b"ab"), max_tokens=60, stream=True, loop_detection=detection)
    answers = submit(engine, request)
    finish(engine)
    assert not any(delta.retracted for delta in answers.deltas)
    assert answers.shown == answers.end.text


def test_stream_holds_back_only_repeats():
    engine = make_engine()
    request = ask(
        "Hello", says(b"abcdefghij"), max_tokens=10, stream=True, loop_detection=FULL_REWIND
    )
    answers = submit(engine, request)
    for _ in range(6):
        engine.step()
    assert len(answers.shown) >= 3
    finish(engine)


def test_completion_does_not_end_in_a_loop_before_min_tokens():
    end = completed(sampling=ALWAYS_A, loop_detection=END, min_tokens=20)
    assert end.completion_tokens == 20
    assert end.loops[0].begin == 0


def test_forced_tokens_are_no_loop():
    @mod(registered=False, on=[ForwardPass])
    def force(event, actions):
        return actions.force_tokens([A] * 20) if event.step == 0 else None

    assert completed(force, loop_detection=FULL, max_tokens=24).loops == ()


def test_rewind_goes_to_the_first_sampled_repeat():
    """A mod forces `b` after each `a`, so that banning `b` would change nothing."""

    @mod(on=[Added], registered=False)
    def after_a(event, actions):
        return None if event.forced or event.added_tokens[-1] != A else actions.force_tokens([B])

    sampling = SamplingParams(temperature=0.0, logit_bias={A: 100.0, C: 50.0})
    end = completed(after_a, sampling=sampling, loop_detection=FULL_REWIND)
    assert end.text.startswith("abc")


def test_control_tokens_end_a_loop():
    traits = msgspec.structs.replace(TRAITS, control_ids=frozenset({X}))
    engine = make_engine(traits=traits)
    end = completed(says(b"aaaaaax"), loop_detection=FULL, engine=engine)
    assert end.loops == ()
    end = completed(says(b"aaaaaax"), loop_detection=FULL)
    assert [loop.period for loop in end.loops] == [7]


def test_text_in_headers_does_not_loop():
    fields = {"control_ids": frozenset({X, B}), "header_ids": frozenset({X})}
    traits = msgspec.structs.replace(TRAITS, **fields)
    said = b"x" + b"a" * 39
    engine = make_engine(traits=traits)
    assert completed(says(said), loop_detection=END, engine=engine).loops == ()
    said = b"xab" + b"a" * 37
    end = completed(says(said), loop_detection=END, engine=engine)
    assert end.loops[0].begin == 3


def test_constraint_that_allows_only_the_banned_token_ends_the_completion():
    @mod(on=[ForwardPass], registered=False)
    def only(event, actions):
        return actions.adjust_logits(allow=[A])

    end = completed(only, loop_detection=REWIND)
    assert end.finish_reason is FinishReason.LENGTH
    assert [loop.outcome for loop in end.loops] == ["rewound"] * 3 + ["ended"]


def test_rewinding_stays_within_the_tokens_that_mods_may_backtrack():
    end = completed(
        sampling=ALWAYS_A,
        loop_detection=LoopDetection(action="rewind", max_tries=16),
        max_tokens=9,
    )
    assert end.backtracked_tokens <= 8 * 9


def test_eos_and_stop_string_come_before_the_loop():
    end = completed(sampling=ALWAYS_A, loop_detection=END, stop=("a" * 9,))
    assert (end.finish_reason, end.loops) == (FinishReason.STOP, ())


def test_mods_are_notified_of_the_rewind_by_the_step_of_the_next_event():
    steps = []

    @mod(on=[Added], registered=False)
    def watch(event, actions):
        steps.append(event.step)

    completed(watch, sampling=ALWAYS_A, loop_detection=REWIND, max_tokens=12)
    assert steps[:10] == [*range(9), 1]


def test_usage_names_loop_detection_beside_mods():
    end = completed(sampling=ALWAYS_A, loop_detection=REWIND)
    assert [(usage.mod, usage.backtracked_tokens) for usage in end.mods] == [
        ("loop_detection", end.backtracked_tokens)
    ]


def test_other_rows_are_not_affected():
    engine = make_engine()
    alone = completed(sampling=GREEDY)
    answers = submit(engine, ask("Hello", max_tokens=40))
    submit(engine, ask("Hello", max_tokens=40, sampling=ALWAYS_A, loop_detection=REWIND))
    finish(engine)
    assert answers.ids == alone.token_ids


def test_completion_that_is_resumed_continues_its_loop():
    """Tokens that an earlier request generated count, and are never removed."""
    beginning = Beginning(
        completion_id="r", token_ids=(X, *[A] * 7), forced_by=(None,) * 8, num_sampled=8
    )
    fields = {"sampling": ALWAYS_A, "beginning": beginning}
    end = completed(loop_detection=END, **fields)
    assert end.loops == (FoundLoop(begin=1, period=1, repeats=9, outcome="ended"),)
    assert completed(loop_detection=REWIND, **fields).loops == end.loops


def test_penalties_count_the_tokens_of_a_completion_that_is_resumed():
    given = {"token_ids": (A,) * 60, "forced_by": (None,) * 60, "num_sampled": 60}
    beginning = Beginning(completion_id="r", **given)
    likes = {"temperature": 0.0, "logit_bias": {A: 100.0, B: 50.0}}
    sampling = SamplingParams(frequency_penalty=2.0, **likes)
    end = completed(sampling=sampling, max_tokens=1, beginning=beginning)
    assert end.token_ids == (B,)
