"""Log-probabilities of a prompt's tokens, for mods that ask for them and for clients."""

import numpy as np
import pytest
from concordance_inference.engine.output import prompt_logprobs
from concordance_inference.engine.output.prompt_logprobs import PromptLogprobs
from concordance_inference.generation import Started, TokenLogprobs
from concordance_sdk import Finished, ForwardPass, Prefilled, Sampled, mod
from concordance_sdk.host.request_state import RequestState
from families import FAMILIES, model_named
from tiny import ask, fresh_logits, make_engine, run

PROMPT = b"A prompt that is long enough to be kept in the prefix cache, and processed in chunks."


def reader_of(seen, **fields):
    """A mod that asks for log-probabilities and keeps what every ForwardPass has."""

    @mod(name="reader", on=[Prefilled, ForwardPass])
    def reader(event, actions):
        if isinstance(event, Prefilled):
            tokens = fields.get("tokens", event.context_info.tokens)
            return actions.adjust_prefill(tokens, logprobs=True)
        seen.append(event.prompt_logprobs)

    return reader


#: What `expected` returned, with the model, whose id is part of the key.
KNOWN = {}


def expected(model, prompt):
    """The log-probabilities, computed once for all tests of a model."""
    key = id(model), tuple(prompt)
    if key not in KNOWN:
        KNOWN[key] = model, computed(model, prompt)
    return KNOWN[key][1]


def computed(model, prompt):
    logprobs = []
    for i in range(1, len(prompt)):
        logits = np.array(fresh_logits(model, prompt[:i]), np.float64)
        total = logits.max() + np.log(np.exp(logits - logits.max()).sum())
        logprobs.append(logits[prompt[i]] - total)
    return logprobs


def check(seen, model, prompt):
    assert seen[0][0] is None
    assert list(seen[0][1:]) == pytest.approx(expected(model, prompt), abs=2e-2)
    assert set(seen[1:]) <= {None}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_prompt_logprobs_are_the_models_at_the_first_forward_pass_only(family, chunk):
    seen = []

    run(make_engine(model_named(family), chunk=chunk), ask(PROMPT, reader_of(seen), max_tokens=3))

    check(seen, model_named(family), PROMPT)
    assert len(seen) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_prompt_logprobs_are_exact_if_a_prefix_is_cached(family):
    engine, seen, again = make_engine(model_named(family)), [], []

    plain = run(engine, ask(PROMPT, max_tokens=3))
    first = run(engine, ask(PROMPT, reader_of(seen), max_tokens=3))
    second = run(engine, ask(PROMPT + b" More", reader_of(again), max_tokens=3))

    check(seen, model_named(family), PROMPT)
    check(again, model_named(family), PROMPT + b" More")
    assert first.ids == plain.ids
    assert (first.end.cached_tokens, second.end.cached_tokens) == (0, 0)


def test_the_prefix_of_a_request_with_prompt_logprobs_is_reused_by_others():
    engine = make_engine()

    run(engine, ask(PROMPT, reader_of([]), max_tokens=3))
    other = run(engine, ask(PROMPT, max_tokens=3))

    assert other.end.cached_tokens > 64


@pytest.mark.parametrize("top_logprobs", [None, 2])
def test_prompt_logprobs_in_a_batch_beside_forcing_and_requested_logprobs(top_logprobs):
    rows = [[], [], []]

    @mod(on=[ForwardPass])
    def forces(event, actions):
        return actions.force_tokens(b"forced") if event.step == 1 else None

    requests = [
        ask(PROMPT[: 30 + 9 * i], reader_of(seen), forces, max_tokens=12, top_logprobs=top_logprobs)
        for i, seen in enumerate(rows)
    ]
    answers = run(make_engine(chunk=11, max_rows=2), *requests, ask("Other", max_tokens=30))

    for i, seen in enumerate(rows):
        check(seen, model_named("llama"), PROMPT[: 30 + 9 * i])
        if top_logprobs:
            assert len(answers[i].end.logprobs) >= 11


def test_prompt_logprobs_are_of_the_prompt_that_mods_left():
    seen, other = [], b"Another prompt"

    @mod(on=[Prefilled])
    def replaces(event, actions):
        return actions.adjust_prefill(other)

    run(make_engine(), ask(PROMPT, reader_of(seen), replaces, max_tokens=1))

    check(seen, model_named("llama"), other)


def test_a_prompt_of_one_token_has_no_logprob():
    seen = []

    run(make_engine(), ask("H", reader_of(seen), max_tokens=2))

    assert seen == [(None,), None]


def test_logits_of_a_long_prompt_are_computed_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr("concordance_inference.engine.request.row.MAX_PER_PASS", 10)
    engine, seen, plans = make_engine(), [], []
    plan = engine._plan
    monkeypatch.setattr(engine, "_plan", lambda: plans.append(plan()) or plans[-1])

    run(engine, ask(PROMPT, reader_of(seen), max_tokens=1))

    check(seen, model_named("llama"), PROMPT)
    assert max(read.num_logits for p in plans for pass_ in p.passes for read in pass_.reads) == 10
    assert prompt_logprobs.MAX_POSITIONS >= 64


@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_of_the_prompt_is_processed_once(family, monkeypatch):
    engine, plans = make_engine(model_named(family), chunk=7), []
    plan = engine._plan
    monkeypatch.setattr(engine, "_plan", lambda: plans.append(plan()) or plans[-1])

    run(engine, ask(PROMPT, reader_of([]), max_tokens=1))

    reads = [read for p in plans for pass_ in p.passes for read in pass_.reads]
    assert sum(read.num_tokens for read in reads) == len(PROMPT)
    assert all(read.num_logits == read.num_tokens for read in reads)


def test_nothing_is_computed_if_no_mod_handles_forward_pass():
    @mod(on=[Prefilled, Sampled, Finished])
    def asks(event, actions):
        if isinstance(event, Prefilled):
            return actions.adjust_prefill(event.context_info.tokens, logprobs=True)

    engine = make_engine()
    plain = run(engine, ask(PROMPT, max_tokens=3))
    answer = run(engine, ask(PROMPT, asks, max_tokens=3))

    assert answer.ids == plain.ids
    assert answer.end.cached_tokens > 0


def test_a_finished_request_needs_no_prompt_logprobs():
    state = RequestState("r", [1, 2, 3], max_tokens=2)
    logprobs = PromptLogprobs(state, has_reader=True)
    assert logprobs.logits_needed_from() is None

    state.replace_prompt([1, 2, 3], wants_logprobs=True)
    assert logprobs.logits_needed_from() == 1
    logprobs.add(1, TokenLogprobs(token_id=2, logprob=-0.5, top=()))
    logprobs.add(1, TokenLogprobs(token_id=2, logprob=-9.0, top=()))
    assert logprobs.logits_needed_from() == 2

    state.finish("stop")
    assert logprobs.logits_needed_from() is None
    assert logprobs.take() is None


# For clients


def check_entries(entries, model, prompt, num_top=0):
    assert entries[0] is None
    assert [entry.token_id for entry in entries[1:]] == list(prompt[1:])
    assert [e.logprob for e in entries[1:]] == pytest.approx(expected(model, prompt), abs=2e-2)
    assert {len(entry.top) for entry in entries[1:]} == {num_top}
    assert all(entry.logprob <= entry.top[0][1] + 1e-6 for entry in entries[1:] if entry.top)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("chunk", "max_tokens"), [(1, 0), (7, 0), (1000, 0), (7, 1), (1000, 3)])
def test_a_client_receives_those_of_the_prompt_also_without_a_completion(family, chunk, max_tokens):
    engine = make_engine(model_named(family), chunk=chunk)
    run(engine, ask(PROMPT, max_tokens=1))
    answer = run(engine, ask(PROMPT, max_tokens=max_tokens, prompt_logprobs=2))

    check_entries(answer.end.prompt_logprobs, model_named(family), PROMPT, 2)
    assert answer.ids == run(engine, ask(PROMPT, max_tokens=max_tokens)).ids
    assert answer.end.cached_tokens == 0


def test_prompts_of_a_batch_each_have_their_own():
    model, prompts = model_named("llama"), [PROMPT[: 20 + 11 * i] for i in range(5)]
    requests = [
        ask(prompt, max_tokens=i % 3, prompt_logprobs=i, top_logprobs=2 if i % 2 else None)
        for i, prompt in enumerate(prompts)
    ]
    answers = run(make_engine(chunk=9, max_rows=3), *requests, ask("Other", max_tokens=20))

    for i, prompt in enumerate(prompts):
        check_entries(answers[i].end.prompt_logprobs, model, prompt, i)
        assert len(answers[i].ids) <= i % 3
    assert answers[-1].end.prompt_logprobs == ()


def test_a_stream_starts_with_those_of_the_prompt():
    answer = run(make_engine(), ask(PROMPT, max_tokens=4, prompt_logprobs=0, stream=True))
    (started,) = [update for update in answer.updates if isinstance(update, Started)]

    check_entries(started.prompt_logprobs, model_named("llama"), PROMPT)
    assert started.prompt_logprobs == answer.end.prompt_logprobs


def test_mods_and_the_client_receive_them_of_the_prompt_that_mods_left():
    seen, other = [], b"Another prompt"

    @mod(on=[Prefilled])
    def replaces(event, actions):
        return actions.adjust_prefill(other)

    answer = run(
        make_engine(), ask(PROMPT, replaces, reader_of(seen), max_tokens=2, prompt_logprobs=1)
    )

    check(seen, model_named("llama"), other)
    check_entries(answer.end.prompt_logprobs, model_named("llama"), other, 1)


@pytest.mark.parametrize("chunk", [5, 1000])
def test_a_stream_starts_after_the_prompt_although_a_mod_forces_before_it_is_processed(chunk):
    @mod(on=[Prefilled], max_backtrack=0)
    def begins(event, actions):
        return actions.force_output(b"Hi ")

    answer = run(
        make_engine(chunk=chunk),
        ask(PROMPT, begins, max_tokens=6, prompt_logprobs=0, stream=True, return_token_ids=True),
    )

    assert isinstance(answer.updates[0], Started)
    check_entries(answer.updates[0].prompt_logprobs, model_named("llama"), PROMPT)
    assert answer.shown == answer.end.text


def test_an_output_that_a_mod_forces_at_once_does_not_drop_those_of_the_prompt():
    @mod(on=[Prefilled])
    def says(event, actions):
        return actions.force_output(b"Hi")

    answer = run(make_engine(), ask(PROMPT, says, max_tokens=4, prompt_logprobs=0))

    check_entries(answer.end.prompt_logprobs, model_named("llama"), PROMPT)
    assert answer.end.text == "Hi"
