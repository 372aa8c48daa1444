"""Prefixes of earlier and of running requests are reused, and outputs stay the same."""

import math

import mlx.core as mx
import msgspec
import pytest
from concordance_inference.engine.model.runner import ModelRunner
from concordance_sdk import Added, mod
from families import EVERY_FAMILY, build_model, model_named
from tiny import TRAITS, ask, finish, fresh_logits, make_engine, run, submit

SYSTEM = tuple(range(32, 122))
QUESTION = tuple(b" and then?")

#: No token ends a completion, so that all are as long as requested.
ENDLESS = msgspec.structs.replace(TRAITS, eos_ids=frozenset())


def greedy(model, prompt, num_tokens):
    ids = list(prompt)
    for _ in range(num_tokens):
        ids.append(int(fresh_logits(model, ids).argmax().item()))
    return tuple(ids[len(prompt) :])


@pytest.fixture(name="num_processed")
def _num_processed(monkeypatch):
    """The number of tokens in all passes, as the one element of a list."""
    counted = [0]
    plain = ModelRunner.forward

    def forward(self, plan, sampled):
        counted[0] += sum(read.num_tokens for pass_ in plan.passes for read in pass_.reads)
        return plain(self, plan, sampled)

    monkeypatch.setattr(ModelRunner, "forward", forward)
    return counted


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_growing_conversation_prefills_only_its_new_messages(family, num_processed):
    model = model_named(family)
    engine = make_engine(model, traits=ENDLESS, chunk=64, margin=4)
    prompt = SYSTEM
    for turn in range(4):
        num_processed[0] = 0
        answer = run(engine, ask(prompt, max_tokens=12))

        assert answer.ids == greedy(model, prompt, 12)
        if turn:
            assert num_processed[0] <= len(QUESTION) + 12 + 16
            assert answer.end.cached_tokens >= len(prompt) - len(QUESTION) - 16
        prompt += answer.ids + QUESTION


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_conversation_without_its_reasoning_resumes_from_the_last_prompt(family, num_processed):
    model = model_named(family)
    engine = make_engine(model, traits=ENDLESS, chunk=64, margin=4)
    first = run(engine, ask(SYSTEM, max_tokens=40))
    num_processed[0] = 0
    second = SYSTEM + first.ids[-3:] + QUESTION
    answer = run(engine, ask(second, max_tokens=8))

    assert answer.ids == greedy(model, second, 8)
    assert answer.end.cached_tokens >= len(SYSTEM) - 16
    assert num_processed[0] <= len(second) - len(SYSTEM) + 16 + 8


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_common_prefix_of_concurrent_requests_is_prefilled_once(family, num_processed):
    model = model_named(family)
    engine = make_engine(model, traits=ENDLESS, chunk=64)
    prompts = [(*SYSTEM, i, *QUESTION) for i in range(6)]
    answers = run(engine, *(ask(prompt, max_tokens=5) for prompt in prompts))

    assert [a.ids for a in answers] == [greedy(model, prompt, 5) for prompt in prompts]
    own = sum(len(prompt) - len(SYSTEM) + 5 for prompt in prompts)
    assert num_processed[0] <= len(SYSTEM) + own + 6 * 16


def test_prefixes_are_not_shared_between_salts():
    engine = make_engine()
    run(engine, ask(SYSTEM, cache_salt="alice"))

    cached = [
        run(engine, ask(SYSTEM, cache_salt=salt)).end.cached_tokens for salt in ("bob", "alice")
    ]
    assert cached == [0, len(SYSTEM) - 1]


def test_no_prefix_is_kept_without_memory_for_prefixes():
    engine = make_engine(prefix_bytes=0)
    for _ in range(2):
        answer = run(engine, ask(SYSTEM))

    assert answer.end.cached_tokens == 0


@pytest.mark.parametrize("family", ["llama", "gpt_oss", "qwen3_next"])
def test_prefixes_stay_within_their_memory(family):
    engine = make_engine(model_named(family), prefix_bytes=200_000)
    for i in range(30):
        run(engine, ask(bytes([65 + i]) * 80))
        assert engine.metrics().prefix_bytes <= 200_000
    assert engine.metrics().prefix_bytes > 100_000


def test_prefixes_are_evicted_to_make_room_for_rows():
    engine = make_engine(kv_bytes=600_000, prefix_bytes=600_000, max_rows=4)
    for i in range(12):
        run(engine, ask(bytes([65 + i]) * 90, max_tokens=10))
    assert engine.metrics().prefix_bytes > 300_000
    answers = [submit(engine, ask(bytes([97 + i]) * 90, max_tokens=30)) for i in range(4)]
    engine.step()

    assert len(engine.rows) == 4
    assert engine.metrics().prefix_bytes < 100_000
    finish(engine)
    assert all(a.ids for a in answers)


def test_a_short_prefix_is_not_kept():
    engine = make_engine()
    run(engine, ask(b"short", max_tokens=4))

    assert engine.metrics().prefix_bytes == 0


def test_backtracked_tokens_are_not_kept(num_processed):
    @mod(on=[Added], max_backtrack=None)
    def rewrite(event, actions):
        if event.step == 5:
            return actions.backtrack(6, b"This instead.")

    engine = make_engine(traits=ENDLESS)
    answer = run(engine, ask(SYSTEM, rewrite, max_tokens=20))
    model = model_named("llama")
    prompt = SYSTEM + answer.ids + QUESTION
    again = run(engine, ask(prompt, max_tokens=6))

    assert again.ids == greedy(model, prompt, 6)
    assert again.end.cached_tokens >= len(prompt) - len(QUESTION) - 1


def test_no_prefix_is_kept_of_a_row_with_nan_logits():
    model = build_model("llama", seed=9)
    model.lm_head.weight = mx.full(model.lm_head.weight.shape, math.nan)
    engine = make_engine(model)
    run(engine, ask(SYSTEM))

    assert engine.metrics().prefix_bytes == 0


# Prompts of equal length that share a prefix

#: Families that keep windows or chunks of keys, and one that keeps everything.
WINDOWED = ["llama", "gpt_oss", "gemma3_text", "llama4"]


@pytest.mark.parametrize("family", WINDOWED)
@pytest.mark.parametrize("num_different", [1, 5, 10, 31])
def test_a_snapshot_of_another_prompt_is_used_up_to_the_common_prefix_only(family, num_different):
    model = model_named(family)
    engine = make_engine(model, traits=ENDLESS, chunk=64)
    common = tuple(range(32, 122))[: 90 - num_different]
    first = common + tuple(range(130, 130 + num_different))
    second = common + tuple(range(190, 190 + num_different))

    for prompt in (first, second, second, first, second):
        answer = run(engine, ask(prompt, max_tokens=10))
        assert answer.ids == greedy(model, prompt, 10)
    next_turn = second + answer.ids + QUESTION
    assert run(engine, ask(next_turn, max_tokens=10)).ids == greedy(model, next_turn, 10)


@pytest.mark.parametrize("family", WINDOWED)
def test_a_row_that_resumed_from_another_prompts_snapshot_can_backtrack_to_its_start(family):
    model = model_named(family)
    common = tuple(range(32, 112))

    @mod(on=[Added], max_backtrack=None)
    def restart_once(event, actions):
        if event.step == 39 and not hasattr(restart_once, "done"):
            restart_once.done = True
            return actions.backtrack(40)

    engine = make_engine(model, traits=ENDLESS, chunk=64, margin=4)
    run(engine, ask(common + tuple(range(130, 140)), max_tokens=10))
    prompt = common + tuple(range(190, 200))
    answer = run(engine, ask(prompt, restart_once, max_tokens=44))

    assert answer.ids == greedy(model, prompt, 44)
