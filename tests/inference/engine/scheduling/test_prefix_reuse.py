"""Prefixes that running rows hold or are about to hold, and requests that wait for them."""

import msgspec
import pytest
from concordance_inference.engine.caches import prefix_cache
from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.generation import Completed
from concordance_sdk import Prefilled, mod
from controlled import step_until
from families import EVERY_FAMILY, model_named
from tiny import TRAITS, ask, finish, make_engine, run, submit

SYSTEM = tuple(range(32, 122))
QUESTION = tuple(b" and then?")

#: No token ends a completion.
ENDLESS = msgspec.structs.replace(TRAITS, eos_ids=frozenset())


def test_a_request_with_another_prefix_does_not_wait():
    engine = make_engine(chunk=8)
    submit(engine, ask(SYSTEM))
    submit(engine, ask(SYSTEM + QUESTION))
    submit(engine, ask(b"something else"))
    engine.step()

    prompts = [tuple(row.prompt_ids) for row in engine.rows]
    assert prompts == [SYSTEM, tuple(b"something else")]


def test_prefixes_of_running_rows_are_not_shared_between_salts():
    engine = make_engine(chunk=8)
    answers = [submit(engine, ask(SYSTEM, cache_salt=salt)) for salt in ("alice", "bob")]
    finish(engine)

    assert [a.end.cached_tokens for a in answers] == [0, 0]


def test_a_request_that_waits_for_a_prefix_runs_when_its_row_is_cancelled():
    engine = make_engine(chunk=8)
    reader = ask("x" * 200)
    submit(engine, reader)
    waiting = submit(engine, ask("x" * 200 + "?", max_tokens=5))
    for _ in range(3):
        engine.step()
    assert len(engine.rows) == 1

    engine.cancel(reader.request_id)
    finish(engine)
    assert len(waiting.ids) == 5
    assert waiting.end.cached_tokens > 0


def test_a_prefix_is_not_used_by_a_request_that_only_waits():
    engine = make_engine(max_rows=3, chunk=4)
    old, new = bytes(range(32, 92)), bytes(range(92, 152))
    for prompt in (old, new):
        run(engine, ask(prompt, max_tokens=1))
    long = old + bytes(range(152, 252))
    submit(engine, ask(long, max_tokens=1))  # uses the old prefix
    engine.step()
    answer = submit(engine, ask(new, max_tokens=1))
    while not answer.updates:
        engine.step()
    submit(engine, ask(long, max_tokens=1))
    engine.step()
    assert engine.metrics().waiting == 1

    prefixes = engine._admission._prefixes._prefixes
    prefixes.limit(prefixes.num_bytes - 1)
    assert prefixes.find("", old + b"?").length == 0
    assert prefixes.find("", new + b"?").length == len(new)
    finish(engine)


def test_a_request_copies_the_prefix_of_a_running_row():
    engine = make_engine(max_rows=2)
    submit(engine, ask(SYSTEM, max_tokens=50))
    while engine.rows == () or engine.rows[0].state.num_completion < 3:
        engine.step()
    answer = run(engine, ask(SYSTEM + QUESTION, max_tokens=3))

    assert answer.end.cached_tokens == len(SYSTEM)


@mod
def preamble(event, actions):
    if isinstance(event, Prefilled):
        return actions.adjust_prefill([*SYSTEM, *event.context_info.tokens])


@pytest.fixture(name="reads")
def _reads(monkeypatch):
    """The numbers of tokens that rows process, pass by pass."""
    counted = []
    plain = ModelRunner.forward

    def forward(self, plan, sampled):
        counted.extend([read.num_tokens for read in pass_.reads] for pass_ in plan.passes)
        return plain(self, plan, sampled)

    monkeypatch.setattr(ModelRunner, "forward", forward)
    return counted


def until_all_sample(engine, count):
    """Step until `count` rows have a token."""
    for _ in range(50):
        if [bool(row.state.num_sampled) for row in engine.rows] == [True] * count:
            return
        engine.step()
    raise AssertionError("they do not run together")


@pytest.mark.parametrize("family", EVERY_FAMILY)
@pytest.mark.parametrize("prefix_bytes", [None, 1])  # 1: no prefix fits
def test_eight_requests_with_one_prompt_process_it_once(family, prefix_bytes):
    engine = make_engine(model_named(family), traits=ENDLESS, prefix_bytes=prefix_bytes)
    answers = run(engine, *(ask(SYSTEM, max_tokens=2) for _ in range(8)))

    assert engine.metrics().prefill_tokens == len(SYSTEM) - 1 + 8  # the last token of each
    assert len({answer.ids for answer in answers}) == 1
    assert [a.end.cached_tokens for a in answers] == [0] + [len(SYSTEM) - 1] * 7


def test_a_prompt_is_processed_once_without_a_prefix_cache():
    engine = make_engine(traits=ENDLESS, prefix_bytes=0)
    run(engine, *(ask(SYSTEM, max_tokens=2) for _ in range(3)))

    assert engine.metrics().prefill_tokens == len(SYSTEM) + 2


def test_requests_that_waited_for_a_prefill_share_its_last_pass(reads):
    engine = make_engine(traits=ENDLESS, chunk=40)
    for _ in range(3):
        submit(engine, ask(SYSTEM, max_tokens=40))
    until_all_sample(engine, 3)

    assert reads[:3] == [[40], [40], [9]]
    assert engine.metrics().prefill_tokens == len(SYSTEM) + 2


def test_a_short_prompt_is_processed_once_if_many_wait_with_it(reads):
    engine = make_engine(traits=ENDLESS)
    for _ in range(4):
        submit(engine, ask(SYSTEM[:30], max_tokens=40))
    until_all_sample(engine, 4)

    assert reads[0] == [29]
    assert engine.metrics().prefill_tokens == 30 + 3


def test_two_requests_with_a_short_prompt_do_not_wait_for_each_other(reads):
    engine = make_engine(traits=ENDLESS)
    for _ in range(2):
        submit(engine, ask(SYSTEM[:30], max_tokens=40))
    until_all_sample(engine, 2)

    assert reads[0] == [30, 30]


def test_requests_whose_mods_make_equal_prompts_process_them_once(reads):
    engine = make_engine(traits=ENDLESS)
    answers = [submit(engine, ask("Hi", preamble, max_tokens=40)) for _ in range(4)]
    until_all_sample(engine, 4)
    finish(engine)

    assert reads[0] == [len(SYSTEM) + 1]
    assert engine.metrics().prefill_tokens == len(SYSTEM) + 2 + 3
    assert [a.end.cached_tokens for a in answers] == [0] + [len(SYSTEM) + 1] * 3


def test_a_request_for_the_logprobs_of_its_prompt_does_not_wait_for_another(reads):
    engine = make_engine(traits=ENDLESS)
    answers = [submit(engine, ask(SYSTEM, max_tokens=2, prompt_logprobs=0)) for _ in range(2)]
    engine.step()
    assert len(engine.rows) == 2
    finish(engine)

    assert [len(answer.end.prompt_logprobs) for answer in answers] == [len(SYSTEM)] * 2


@pytest.mark.parametrize("prompt", [SYSTEM, SYSTEM[:20]])
def test_requests_that_waited_for_a_prefill_are_equally_long(prompt):
    engine = make_engine(traits=ENDLESS)
    for _ in range(8):
        submit(engine, ask(prompt, max_tokens=40))
    for _ in range(4):
        engine.step()

    assert len({row.state.num_cached for row in engine.rows}) == 1
    assert len(engine.rows) == 8


def test_a_long_prefix_is_copied_in_parts_while_other_rows_decode(monkeypatch):
    sizes, plain = [], BatchCache.segment

    def segment(self, row, begin, end):
        sizes.append(end - begin)
        return plain(self, row, begin, end)

    engine = make_engine(traits=ENDLESS, latency_target_s=60.0)
    monkeypatch.setattr(BatchCache, "segment", segment)
    token_bytes = engine.inspect().profile.footprint.per_token
    monkeypatch.setattr(prefix_cache, "resize_bytes", lambda: 40 * token_bytes)
    submit(engine, ask("short", max_tokens=60))
    long = submit(engine, ask(SYSTEM * 2, max_tokens=4))
    while not long.updates or not isinstance(long.end, Completed):
        engine.step()
    decoded = []
    while len(engine.rows) == 2:
        decoded.append(engine.rows[0].state.num_completion)
        engine.step()

    assert sizes == [40, 40, 40, 40, 23]
    assert decoded == list(range(decoded[0], decoded[0] + len(sizes)))
    assert run(engine, ask(SYSTEM * 2, max_tokens=4)).end.cached_tokens == 179


def test_the_prefix_of_a_cancelled_request_is_copied_beside_others_without_its_next_token(
    monkeypatch,
):
    engine = make_engine(traits=ENDLESS, latency_target_s=60.0)
    token_bytes = engine.inspect().profile.footprint.per_token
    monkeypatch.setattr(prefix_cache, "resize_bytes", lambda: 40 * token_bytes)
    short = submit(engine, ask("short", max_tokens=30))
    long = ask(SYSTEM * 2, max_tokens=20)
    submit(engine, long)
    step_until(engine, long, 3)  # the next token is on its way

    engine.cancel(long.request_id)
    engine.step()
    assert len(engine.rows) == 2
    finish(engine)

    assert short.ids == run(make_engine(traits=ENDLESS), ask("short", max_tokens=30)).ids


def test_a_prefix_that_does_not_fit_is_not_copied(monkeypatch):
    token_bytes = make_engine().inspect().profile.footprint.per_token
    engine = make_engine(traits=ENDLESS, prefix_bytes=50 * token_bytes)
    monkeypatch.setattr(BatchCache, "segment", None)
    assert run(engine, ask(SYSTEM, max_tokens=4)).end.completion_tokens == 4
