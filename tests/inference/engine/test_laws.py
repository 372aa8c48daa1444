"""The laws: invariants for every model family, with any mods and any other rows in the batch.

Law 6, the legality of actions, needs no model: see tests/shared/test_legality.py.
"""

import random

import mlx.core as mx
import msgspec
import numpy as np
import pytest
from concordance_inference.choices import requests_of_choices, seed_of_choice
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.plan import Sharing
from concordance_inference.engine.sampling.penalties import Counted, Penalties
from concordance_inference.engine.sampling.rng import XTC_SERIES, draw_key, uniform
from concordance_inference.engine.sampling.sampler import Sampler
from concordance_inference.generation import Failed, SamplingParams
from concordance_sdk import Added, ForwardPass, Sampled, mod
from concordance_sdk.host.request_state import RequestState
from families import EVERY_FAMILY, FAMILIES, NEAR_TIE, closest_choice, model_named
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meddling import meddler_of
from msgspec.structs import replace
from tiny import TRAITS, ask, finish, fresh_logits, make_engine, run, submit

#: Tolerances for logits, which are around 10: rounding depends on the order of additions.
#: Recurrent layers accumulate rounding errors.
TOLERANCE = 2e-3
TOLERANCE_OF_STATES = 2e-2

quick = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def greedy_continuation(model, prompt, num_tokens):
    ids = list(prompt)
    for _ in range(num_tokens):
        ids.append(int(mx.argmax(fresh_logits(model, ids)).item()))
    return tuple(ids[len(prompt) :])


@mod(name="noop")
def noop(event, actions):
    """Handle every event without an action."""


def meddler(seed):
    """A mod that forces tokens and backtracks at random."""
    dice = random.Random(seed)
    return meddler_of(dice, lambda count: [dice.randrange(256) for _ in range(count)])


# 1. No-op law


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sampling", [SamplingParams(temperature=0), SamplingParams(seed=3)])
def test_mods_without_actions_do_not_change_tokens(family, sampling):
    engine = make_engine(model_named(family))

    plain = run(engine, ask(max_tokens=30, sampling=sampling))
    with_mods = run(engine, ask("Hello", noop, noop, max_tokens=30, sampling=sampling))

    assert with_mods.ids == plain.ids


# 2. Cache law


@pytest.mark.parametrize("family", EVERY_FAMILY)
@quick
@given(seed=st.integers(0, 10**6), num_requests=st.integers(1, 5), chunk=st.sampled_from([3, 64]))
def test_logits_equal_a_fresh_prefill_after_forcing_and_backtracking(
    family, seed, num_requests, chunk, monkeypatch
):
    monkeypatch.setattr(kv_buffers, "GROWTH", 16)
    dice = random.Random(seed)
    model = model_named(family)
    engine = make_engine(model, chunk=chunk, margin=6, max_rows=3)
    checks = []

    @mod(name="witness", on=[ForwardPass])
    def witness(event, actions):
        (row,) = [r for r in engine.rows if r.request.request_id == event.request_id]
        checks.append((list(row.state.token_ids), event.logits.to_numpy()))

    waiting = [
        ask(
            dice.randbytes(dice.randint(1, 40)),
            witness,
            meddler(dice.random()),
            max_tokens=dice.randint(1, 40),
        )
        for _ in range(num_requests)
    ]
    answers = []
    while waiting or engine.has_work:
        if waiting and dice.random() < 0.3:
            answers.append(submit(engine, waiting.pop()))
        engine.step()

    assert len(answers) == num_requests
    assert checks
    tolerance = (
        TOLERANCE_OF_STATES if engine.inspect().profile.sharing is Sharing.RAGGED else TOLERANCE
    )
    for ids, row in checks:
        fresh = np.array(fresh_logits(model, ids))
        is_close = np.abs(row - fresh).max() < tolerance
        assert is_close or closest_choice(model, ids) < NEAR_TIE, f"after {len(ids)} tokens"


# 3. Batch law


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_the_same_alone_and_in_any_batch(family):
    model = model_named(family)
    prompts = [bytes([65 + i]) * (1 + 7 * i) for i in range(6)]
    sampling = [SamplingParams(temperature=i % 3 / 2, seed=i, top_p=0.9) for i in range(6)]

    def requests():
        return [
            ask(p, max_tokens=10 + i, sampling=s)
            for i, (p, s) in enumerate(zip(prompts, sampling, strict=True))
        ]

    alone = [run(make_engine(model), request).ids for request in requests()]
    together = [a.ids for a in run(make_engine(model), *requests())]
    in_turns = [a.ids for a in run(make_engine(model, max_rows=2), *reversed(requests()))]

    assert together == alone
    assert in_turns[::-1] == alone


#: Every sampling parameter, in several rows and combinations.
MIXED = [
    SamplingParams(seed=0),
    SamplingParams(seed=1, temperature=0.7, top_p=0.8, logit_bias={65: 4.0, 66: -100.0}),
    SamplingParams(seed=2, repetition_penalty=1.3, top_k=20),
    SamplingParams(seed=3, temperature=0, frequency_penalty=1.5),
    SamplingParams(seed=4, xtc_probability=0.5, xtc_threshold=0.1, min_p=0.01),
    SamplingParams(seed=5, presence_penalty=1.0, frequency_penalty=0.3, top_p=0.95),
    SamplingParams(seed=6, temperature=0, repetition_penalty=1.8, logit_bias={32: 2.0}),
    SamplingParams(seed=7, temperature=1.5, top_k=40, top_p=0.9, min_p=0.05),
]


@pytest.mark.parametrize("family", FAMILIES)
def test_mods_act_the_same_alone_and_in_a_batch_of_eight(family):
    model = model_named(family)

    def requests():
        return [
            ask(b"The same prompt", meddler(seed), max_tokens=25, sampling=sampling)
            for seed, sampling in enumerate(MIXED)
        ]

    def ends(answers):
        return [a.end.token_ids if not isinstance(a.end, Failed) else str(a.error) for a in answers]

    alone = ends([run(make_engine(model), request) for request in requests()])
    together = ends(run(make_engine(model), *requests()))

    assert together == alone


@pytest.mark.parametrize("sampling", MIXED)
def test_sampling_equals_a_step_by_step_loop(sampling):
    """Batched penalties, prepared draws and speculation do not change the sampled tokens."""
    model = model_named("llama")
    sampler = Sampler([sampling], TRAITS.format_ids)
    ids = list(b"Hello")
    for i in range(20):
        penalties = Penalties([sampling])
        state = RequestState("state", ids[:5], max_tokens=99)
        state.append(ids[5:], forced=False)
        logits = penalties.apply(fresh_logits(model, ids)[None], [0], [Counted(state)])
        draws = [draw_key(sampling.seed, i)], [uniform(sampling.seed ^ XTC_SERIES, i)]
        ids.append(sampler.sample(logits, [0], *draws).item())
    endless = msgspec.structs.replace(TRAITS, eos_ids=frozenset())

    answer = run(make_engine(model, traits=endless), ask(max_tokens=20, sampling=sampling))

    assert list(answer.ids) == ids[5:]


@pytest.mark.parametrize("family", FAMILIES)
def test_sorting_candidates_only_does_not_change_tokens(family):
    model = model_named(family)

    def results(**config):
        requests = [
            ask(b"Prompt %d" % i, *mods, max_tokens=30, sampling=MIXED[i], top_logprobs=i % 3)
            for i in range(8)
            for mods in ([meddler(i)] if i % 2 else [],)
        ]
        ends = [run(make_engine(model, **config), request).end for request in requests]
        return [end.token_ids if not isinstance(end, Failed) else str(end.error) for end in ends]

    assert results(num_candidates=6) == results(num_candidates=TRAITS.vocab_size)


@pytest.mark.parametrize("top_p", [0.5, 0.9])
@pytest.mark.parametrize(
    "penalties",
    [{"presence_penalty": -2.0}, {"repetition_penalty": 0.3}, {"frequency_penalty": 1.0}],
    ids=lambda penalties: next(iter(penalties)),
)
def test_a_discarded_draw_is_not_counted_by_penalties(penalties, top_p):
    """If the sorted candidates are too few, the sampled token is discarded and sampled again."""
    model = model_named("llama")
    sampling = SamplingParams(seed=1, temperature=1.0, top_p=top_p, **penalties)
    requests = [ask(b"Prompt %d" % i, max_tokens=40, sampling=sampling) for i in range(3)]
    expected = [run(make_engine(model), request).ids for request in requests]
    for candidates in (2, 8, 16, 100):
        alone = run(make_engine(model, num_candidates=candidates), requests[0])
        together = run(make_engine(model, num_candidates=candidates), *requests)
        assert alone.ids == expected[0]
        assert [output.ids for output in together] == expected


@pytest.mark.parametrize("family", FAMILIES)
@quick
@given(seed=st.integers(0, 10**6))
def test_logprobs_are_the_models_own_for_sampled_and_forced_tokens(family, seed):
    model = model_named(family)
    requests = [
        ask(
            b"Prompt %d" % i,
            *([meddler(seed + i)] if i else []),
            max_tokens=20,
            sampling=MIXED[(seed + i) % 8],
            top_logprobs=i,
        )
        for i in range(3)
    ]
    for request, answer in zip(requests, run(make_engine(model), *requests), strict=True):
        if isinstance(answer.end, Failed):
            continue
        shown = answer.end.logprobs
        assert [entry.token_id for entry in shown] == list(answer.ids)[: len(shown)]
        assert len(shown) >= len(answer.ids) - 1  # EOS is not part of the text
        for i, entry in enumerate(shown):
            logits = fresh_logits(model, [*request.prompt_ids, *answer.ids[:i]])
            expected = np.array(logits - mx.logsumexp(logits))
            assert abs(entry.logprob - expected[entry.token_id]) < TOLERANCE_OF_STATES
            assert len(entry.top) == request.top_logprobs
            for token_id, logprob in entry.top:
                assert abs(logprob - expected[token_id]) < TOLERANCE_OF_STATES
                assert logprob >= np.sort(expected)[-request.top_logprobs] - TOLERANCE_OF_STATES


# 4. Chunk law


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1000])
def test_prefill_chunk_size_does_not_change_tokens(family, chunk):
    model = model_named(family)
    prompt = bytes(range(32, 132))

    answers = run(make_engine(model, chunk=chunk), ask(prompt, max_tokens=8))

    assert answers.ids == greedy_continuation(model, prompt, 8)


def test_prefill_next_to_decoding_rows_does_not_change_tokens():
    model = model_named("gpt_oss")
    engine = make_engine(model, chunk=5)
    early = submit(engine, ask(b"early", max_tokens=40))
    for _ in range(6):
        engine.step()
    late = submit(engine, ask(bytes(range(40, 120)), max_tokens=8))
    finish(engine)

    assert early.ids == greedy_continuation(model, b"early", 40)
    assert late.ids == greedy_continuation(model, bytes(range(40, 120)), 8)


# 5. Stream law


@pytest.mark.parametrize("family", FAMILIES)
@quick
@given(
    seed=st.integers(0, 10**6),
    retractions=st.booleans(),
    meddles=st.booleans(),
    top_logprobs=st.sampled_from([None, 0, 2]),
)
def test_a_stream_has_the_text_of_an_unstreamed_request(
    family, seed, retractions, meddles, top_logprobs
):
    model = model_named(family)

    def request(**fields):
        mods = [meddler(seed)] if meddles else []
        return ask(
            b"Stream",
            *mods,
            max_tokens=25,
            sampling=SamplingParams(seed=seed),
            stop=("\x01", "ab"),
            top_logprobs=top_logprobs,
            **fields,
        )

    plain = run(make_engine(model), request())
    streamed = run(make_engine(model), request(stream=True, include_retractions=retractions))

    if isinstance(plain.end, Failed):
        assert str(streamed.error) == str(plain.error)
        return
    assert streamed.ids == plain.ids
    assert streamed.shown == streamed.end.text == plain.end.text
    assert [entry.token_id for entry in streamed.end.logprobs] == [
        entry.token_id for entry in plain.end.logprobs
    ]
    if not retractions:
        assert not any(delta.retracted for delta in streamed.deltas)
        shown = [entry for delta in streamed.deltas for entry in delta.logprobs]
        assert shown == list(streamed.end.logprobs)


# 7. Isolation law


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("event_type", [ForwardPass, Sampled, Added])
def test_a_mod_that_raises_does_not_change_other_rows(family, event_type):
    model = model_named(family)
    others = [ask(bytes([65 + i]) * (3 + i), max_tokens=20) for i in range(3)]
    expected = [run(make_engine(model), request).ids for request in others]

    @mod(on=[event_type])
    def boom(event, actions):
        if event.step == 5:
            raise RuntimeError("kaput")

    engine = make_engine(model)
    answers = run(engine, others[0], ask(b"x" * 9, boom), *others[1:])

    assert [a.ids for i, a in enumerate(answers) if i != 1] == expected
    assert "kaput" in str(answers[1].error)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("after", [0, 1, 3, 8])
def test_a_cancelled_request_does_not_change_other_rows(family, after):
    model = model_named(family)
    others = [ask(bytes([65 + i]) * (3 + i), max_tokens=20) for i in range(3)]
    expected = [run(make_engine(model), request).ids for request in others]
    engine = make_engine(model, chunk=4)
    leaver = ask(b"x" * 20, max_tokens=20)
    answers = [submit(engine, request) for request in (others[0], leaver, *others[1:])]
    for _ in range(after):
        engine.step()
    engine.cancel(leaver.request_id)
    finish(engine)

    assert [a.ids for i, a in enumerate(answers) if i != 1] == expected


# Logprobs and chunks do not change sampled tokens


@pytest.mark.parametrize("sampling", [MIXED[2], MIXED[3], MIXED[5], MIXED[6]])
@pytest.mark.parametrize("num_others", [0, 2])
def test_penalties_count_generated_tokens_only_when_a_forced_span_is_chunked(sampling, num_others):
    @mod(on=[Added], max_backtrack=None)
    def force_a_span(event, actions):
        if event.step in (2, 30):
            return actions.force_tokens([65 + i % 20 for i in range(23)])

    def ids(chunk, top_logprobs):
        others = [ask(b"o" * (4 + i), max_tokens=60) for i in range(num_others)]
        request = ask(
            b"Prompt",
            force_a_span,
            max_tokens=80,
            sampling=sampling,
            top_logprobs=top_logprobs,
        )
        engine = make_engine(model_named("llama"), traits=endless, chunk=chunk)
        answers = [submit(engine, one) for one in (request, *others)]
        finish(engine)
        return answers[0].ids

    endless = msgspec.structs.replace(TRAITS, eos_ids=frozenset())
    expected = ids(chunk=64, top_logprobs=None)
    for chunk in (1, 3, 5, 8):
        assert ids(chunk, top_logprobs=2) == expected
        assert ids(chunk, top_logprobs=None) == expected


# 8. Choice law


@mod
class Meddler:
    """Meddles in each request with a meddler of its own."""

    def __init__(self):
        self.meddle = meddler(5)

    def prefilled(self, event, actions):
        return actions.adjust_prefill([*b"A preamble. ", *event.context_info.tokens])

    def added(self, event, actions):
        return self.meddle(event, actions)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("meddles", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_choice_equals_a_request_alone_with_its_seed(family, meddles, stream):
    model = model_named(family)
    prompt = bytes(range(32, 132))
    sampling = SamplingParams(seed=11, temperature=1.2, top_p=0.9, repetition_penalty=1.2)
    mods = [Meddler] if meddles else []

    def request(**fields):
        return ask(prompt, *mods, max_tokens=14, sampling=sampling, **fields)

    choices = requests_of_choices(request(stream=stream), 4)
    engine = make_engine(model, max_rows=3, chunk=32)
    other = submit(engine, ask(b"other", max_tokens=30))
    answers = [submit(engine, choice) for choice in choices]
    finish(engine)

    for i, answer in enumerate(answers):
        seeded = replace(sampling, seed=seed_of_choice(11, i))
        alone = run(make_engine(model), replace(request(), sampling=seeded))
        assert outcome(answer) == outcome(alone)
    assert other.ids == greedy_continuation(model, b"other", 30)


def outcome(answer):
    """Return how a request ended; the ids of requests differ."""
    if isinstance(answer.end, Failed):
        return type(answer.error), answer.error.message.partition(":")[2]
    return answer.end.text, answer.ids, answer.end.finish_reason, answer.end.forced_by
