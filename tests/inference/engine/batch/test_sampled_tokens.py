"""The log-probability of a sampled token, as mods read it."""

import random

import numpy as np
import pytest
from concordance_inference.engine.batch import sampled_tokens
from concordance_inference.generation import SamplingParams
from concordance_sdk import Added, Finished, ForwardPass, Sampled, mod
from families import FAMILIES, model_named
from meddling import meddler_of
from tiny import GREEDY, ask, finish, fresh_logits, make_engine, run, submit

DRAWS = SamplingParams(temperature=2.0, top_p=0.9, seed=3, repetition_penalty=1.3)
WIDE = SamplingParams(temperature=9.0, top_p=0.99, seed=4, logit_bias={65: 3.0})


class Reader:
    """Reads the logprob of every sampled token, with the tokens before it."""

    def __init__(self, engine):
        self.engine = engine
        self.seen = []  # (prefix, token, logprob)

    @property
    def mod(self):
        @mod(name="reader", on=[Sampled], max_backtrack=0)
        def reader(event, actions):
            (row,) = [r for r in self.engine.rows if r.request.request_id == event.request_id]
            self.seen.append((tuple(row.state.token_ids), event.sampled_token, event.logprob))

        return reader

    def check(self, model):
        """Compare with a float64 log-softmax of logits that are computed without caches."""
        assert self.seen
        for prefix, token_id, logprob in self.seen:
            logits = np.array(fresh_logits(model, prefix), np.float64)
            total = logits.max() + np.log(np.exp(logits - logits.max()).sum())
            assert logprob == pytest.approx(logits[token_id] - total, abs=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sampling", [GREEDY, DRAWS, WIDE])
def test_logprob_is_the_models_own_before_penalties_and_temperature(family, sampling):
    engine = make_engine(model_named(family))
    reader = Reader(engine)

    answer = run(engine, ask("Hello", reader.mod, max_tokens=12, sampling=sampling))

    assert [token_id for _, token_id, _ in reader.seen] == list(answer.ids)
    reader.check(model_named(family))


@pytest.mark.parametrize("seed", range(4))
def test_logprob_in_a_batch_with_mods_that_force_and_backtrack(seed):
    engine = make_engine(max_rows=3)
    dice = random.Random(seed)
    readers = [Reader(engine) for _ in range(5)]
    meddlers = [
        meddler_of(random.Random(seed + i), lambda n: [dice.randrange(256) for _ in range(n)])
        for i in range(5)
    ]
    waiting = [
        ask(b"Prompt %d" % i, *[reader.mod, meddler][:: 1 - 2 * (i % 2)], max_tokens=25)
        for i, (reader, meddler) in enumerate(zip(readers, meddlers, strict=True))
    ]
    while waiting or engine.has_work:
        if waiting and dice.random() < 0.3:
            submit(engine, waiting.pop())
        engine.step()

    for reader in readers:
        reader.check(model_named("llama"))


def adjusts(event, actions):
    if isinstance(event, ForwardPass):
        return actions.adjust_logits(allow=range(60, 70), token_temp=3.0)


@pytest.mark.parametrize("fields", [{}, {"top_logprobs": 2}, {"stream": True}])
def test_logprob_does_not_depend_on_adjustments_streams_or_requested_logprobs(fields):
    engine = make_engine()
    reader = Reader(engine)
    allow = mod(name="allow", on=[ForwardPass])(adjusts)

    run(engine, ask("Hello", allow, reader.mod, max_tokens=9, **fields))

    reader.check(model_named("llama"))
    assert all(60 <= token_id < 70 for _, token_id, _ in reader.seen)


def test_logprob_is_the_number_of_the_api():
    engine = make_engine()
    reader = Reader(engine)

    answer = run(engine, ask("Hello", reader.mod, max_tokens=12, sampling=DRAWS, top_logprobs=0))

    shown = [entry.logprob for entry in answer.end.logprobs]
    assert shown == [logprob for _, _, logprob in reader.seen][: len(shown)]


def test_logprob_is_the_same_alone_in_a_batch_and_with_a_cached_prefix():
    engine = make_engine()
    alone, cached, beside = Reader(engine), Reader(engine), Reader(engine)
    prompt = "A prompt that is long enough to be cached"

    run(engine, ask(prompt, alone.mod, sampling=DRAWS))
    run(engine, ask(prompt, cached.mod, sampling=DRAWS))
    run(
        engine,
        *[ask("Other", max_tokens=20) for _ in range(3)],
        ask(prompt, beside.mod, sampling=DRAWS),
    )

    for other in (cached, beside):
        assert [s[:2] for s in other.seen] == [s[:2] for s in alone.seen]
        assert [s[2] for s in other.seen] == pytest.approx([s[2] for s in alone.seen], abs=1e-4)


def count_logprobs(monkeypatch):
    made = []

    class Counted(sampled_tokens.Logprobs):
        def __init__(self, logits, *args):
            made.append(logits.shape[0])
            super().__init__(logits, *args)

    monkeypatch.setattr(sampled_tokens, "Logprobs", Counted)
    return made


def test_nothing_is_computed_if_no_mod_reads_a_logprob(monkeypatch):
    made = count_logprobs(monkeypatch)

    @mod(on=[Sampled])
    def idle(event, actions):
        """Handles the event and reads nothing."""

    run(make_engine(), ask("Hello", idle), ask("Hello"))

    assert made == []


def test_logprobs_are_computed_with_the_sampling_once_a_mod_has_read_one(monkeypatch):
    made = count_logprobs(monkeypatch)
    engine = make_engine()
    reader, num_made_in_handlers = Reader(engine), []

    @mod(on=[Sampled])
    def second(event, actions):
        before = len(made)
        assert event.logprob == event.logprob
        num_made_in_handlers.append(len(made) - before)

    run(engine, ask("Hello", second, reader.mod, max_tokens=8), ask("Hello", max_tokens=8))

    # The first two tokens were sampled before the first read.
    assert num_made_in_handlers == [1, 1, 0, 0, 0, 0, 0, 0]
    assert made == [1] * 8  # of the row that reads, not of the other one
    assert len({logprob for _, _, logprob in reader.seen}) > 1


def test_logprob_can_be_read_while_its_event_is_handled_and_no_later():
    kept, errors = [], []

    @mod(on=[Sampled, Added, Finished])
    def keeps(event, actions):
        if isinstance(event, Sampled):
            kept.append(event)
            if event.step == 0:
                kept.append((event, event.logprob))
        if isinstance(event, Added):
            try:
                kept[-1].logprob  # noqa: B018
            except (ValueError, AttributeError) as exc:
                errors.append(str(exc))

    run(make_engine(), ask("Hello", keeps, max_tokens=2))

    event, logprob = kept[1]
    assert event.logprob == logprob
    assert "step 1 can be read only while the event is handled" in errors[-1]


def test_a_step_holds_no_logits_unless_a_mod_handles_sampled():
    engine = make_engine()
    submit(engine, ask("Hello", max_tokens=5))
    for _ in range(3):
        engine.step()

    assert engine._batch.sampled.source is None
    finish(engine)
