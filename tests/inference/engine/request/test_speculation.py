"""Speculation: which tokens are processed, reused and confirmed, for all small cases.

`Device` plays the KV cache and the model: its cache is a list of tokens, and the "logits" after a
prefix are the prefix itself, so that a test can tell whether logits belong to the tokens.
"""

import itertools

import pytest
from concordance_inference.engine.request.speculation import Speculation
from concordance_sdk.host.request_state import RequestState
from concordance_shared import FinishReason

NO_TOKEN, TOO_FEW = -1, -2

#: Sampled every time, and forced by some mods: equal tokens must not be mistaken for kept ones.
SAMPLED, OTHER = 7, 8


def keep(state):
    state.append([SAMPLED], forced=False)


def keep_and_force(state):
    keep(state)
    state.append([OTHER, SAMPLED], forced=True)


def force_same(state):
    state.append([SAMPLED, OTHER], forced=True)


def force_other(state):
    state.append([OTHER], forced=True)


def backtrack_same(state):
    keep(state)
    state.backtrack(1)
    state.append([SAMPLED], forced=True)


def backtrack(state):
    keep(state)
    state.backtrack(min(2, state.num_completion))


def backtrack_and_force_as_many(state):
    keep(state)
    state.backtrack(min(2, state.num_completion))
    state.append([SAMPLED, SAMPLED], forced=True)


def decline(state):
    """A mod answers `Sampled` with `Backtrack(0)`: the token is dropped."""


OUTCOMES = [
    keep,
    keep_and_force,
    force_same,
    force_other,
    backtrack_same,
    backtrack,
    backtrack_and_force_as_many,
    decline,
    TOO_FEW,
]


def is_useful(outcome, num_completion):
    """True if an outcome leaves the first `num_completion` tokens and then the sampled one."""
    if outcome is backtrack_and_force_as_many:
        return num_completion == 0  # it backtracks over the sampled token only
    return outcome in (keep, keep_and_force, force_same, backtrack_same)


class Device:
    """One row's steps, as the engine runs them."""

    def __init__(self, *, chunk, snapshot_every, waits, logprobs, prompt_len=2, max_tokens=4):
        self.state = RequestState("r", range(prompt_len), max_tokens=max_tokens)
        self.chunk, self.snapshot_every, self.waits = chunk, snapshot_every, waits
        self.num_logprobs = 0 if logprobs else None  # of known tokens
        self.speculation = Speculation(
            self.state, max_recent=3, logits_needed_from=self.logits_needed_from
        )
        self.cache = []  # tokens whose keys and values are written
        self.logits = None  # the prefix that the current logits follow
        self.is_ahead = False  # the cache holds the pending token

    def logits_needed_from(self):
        length = len(self.state.token_ids)
        if self.num_logprobs is None:
            return length
        return min(self.state.prompt_len + self.num_logprobs, length)

    def step(self, outcomes):
        if self.waits and self.speculation.backoff.is_on:
            self.resolve(outcomes)
        self.rewind()
        self.process()
        self.recall()
        self.resolve(outcomes)
        if self.speculation.logits_are_current and not self.state.is_finished:
            assert self.logits == self.state.token_ids, "sampled from logits of other tokens"
            self.speculation.mark_pending()

    def rewind(self):
        reusable = self.speculation.reusable_len
        held = reusable
        if reusable < len(self.cache):  # as from a snapshot of a recurrent state
            held -= held % self.snapshot_every
        if held != self.state.num_cached:
            self.speculation.rewound(held, reusable)
        assert self.cache[:held] == self.state.token_ids[:held]

    def process(self):
        speculation, state = self.speculation, self.state
        demand = speculation.demand(())
        assert not speculation.is_stuck(demand)
        if not demand.is_active:
            return
        start = demand.num_cached
        if demand.is_pending:
            assert start == len(state.token_ids)
            tokens = [SAMPLED]
            self.is_ahead = True
        else:
            assert not speculation.is_pending
            tokens = list(demand.token_ids)[: self.chunk]
        self.cache = [*self.cache[:start], *tokens]
        speculation.processed(len(tokens))
        for length in range(start + 1, start + len(tokens) + 1):
            if speculation.is_next(length):
                self.logits = self.cache[:length]
                speculation.remember(length, self.logits)
            elif self.num_logprobs is not None and length == self.logits_needed_from():
                self.num_logprobs = length + 1 - state.prompt_len

    def recall(self):
        if (logits := self.speculation.recall_next()) is not None:
            self.logits = logits

    def resolve(self, outcomes):
        state = self.state
        if not self.speculation.is_pending:
            return
        outcome = next(outcomes)
        known = len(state.token_ids)
        before = self.speculation.backoff.is_on
        token_id = outcome if isinstance(outcome, int) else SAMPLED
        if token_id >= 0:
            outcome(state)
            state.finish_if_complete()
        self.speculation.resolve(known, token_id, is_finite=True)
        self.check_resolved(outcome, known, before)
        self.is_ahead = False

    def check_resolved(self, outcome, known, was_backed_off):
        state, was_ahead = self.state, self.is_ahead
        was_useful = is_useful(outcome, known - state.prompt_len)
        num_cached = state.num_cached
        assert self.cache[:num_cached] == state.token_ids[:num_cached]
        if was_useful:
            assert num_cached == known + was_ahead
        else:
            assert num_cached <= known
            assert not was_ahead or self.speculation.backoff.is_on
        if was_useful and not was_backed_off:
            assert not self.speculation.backoff.is_on
        if self.num_logprobs is not None:  # the engine drops those of changed tokens
            kept = min(known, num_cached, len(state.token_ids)) - state.prompt_len
            self.num_logprobs = max(0, min(self.num_logprobs, kept))
            if was_useful:
                self.num_logprobs = max(self.num_logprobs, known + 1 - state.prompt_len)


CONFIGS = list(itertools.product((1, 9), (1, 3), (False, True), (False, True)))


@pytest.mark.parametrize(("chunk", "snapshot_every", "waits", "logprobs"), CONFIGS)
def test_cache_always_holds_the_confirmed_tokens(chunk, snapshot_every, waits, logprobs):
    """Every sequence of four outcomes, then tokens are kept until the budget is spent."""
    for outcomes in itertools.product(OUTCOMES, repeat=4):
        device = Device(chunk=chunk, snapshot_every=snapshot_every, waits=waits, logprobs=logprobs)
        remaining = itertools.chain(outcomes, itertools.repeat(keep))
        num_steps = 0
        while not device.state.is_finished:
            device.step(remaining)
            num_steps += 1
            assert num_steps < 60, outcomes


def states():
    """All states with a prompt of 1 or 2 tokens and up to 3 completion tokens."""
    for prompt_len, num_completion, room in itertools.product((1, 2), range(4), (0, 1, 2)):
        length = prompt_len + num_completion
        for num_cached, needed_from in itertools.product(range(length + 1), range(1, length + 1)):
            if needed_from < prompt_len:
                continue
            for recent, is_pending, is_finished in itertools.product((False, True), repeat=3):
                if is_pending and (num_cached < length or needed_from < length or is_finished):
                    continue  # a token is sampled only after all tokens are processed
                if not room and not is_finished:
                    continue
                state = RequestState("r", [1] * prompt_len, max_tokens=num_completion + room)
                state.append(range(2, 2 + num_completion), forced=False)
                state.mark_processed(num_cached)
                if is_finished:
                    state.finish(FinishReason.STOP)
                speculation = Speculation(
                    state, max_recent=2, logits_needed_from=lambda n=needed_from: n
                )
                if recent:
                    speculation.remember(length, "logits")
                if is_pending:
                    speculation.mark_pending()
                yield state, speculation, needed_from


def test_demand_is_exactly_what_is_not_cached():
    cases = list(states())
    for state, speculation, needed_from in cases:
        length, demand = len(state.token_ids), speculation.demand(())
        assert demand.num_cached == state.num_cached
        if speculation.is_pending:
            assert demand.is_pending
            assert demand.is_waiting == (state.room <= 1)
        elif demand.is_waiting:
            assert speculation.recalls_next or (state.is_finished and needed_from == length)
            assert not demand.token_ids
        else:
            end = length - state.is_finished
            assert list(demand.token_ids) == state.token_ids[state.num_cached : end]
            assert demand.logits_from == needed_from
    assert len(cases) > 500


def test_reusable_len_leaves_a_token_to_process_unless_logits_are_remembered():
    for state, speculation, needed_from in states():
        reusable = speculation.reusable_len
        assert reusable <= state.num_cached
        if not speculation.is_pending and not speculation.recalls_next:
            assert reusable < needed_from


def test_no_running_row_is_stuck_after_its_cache_was_rewound():
    for state, speculation, _ in states():
        if state.is_finished:
            continue
        speculation.rewound(speculation.reusable_len, speculation.reusable_len)
        assert not speculation.is_stuck(speculation.demand(()))


def test_row_is_stuck_if_nothing_is_left_to_process_and_no_logits_are_remembered():
    state = RequestState("r", [1, 2], max_tokens=1)
    state.mark_processed(2)
    speculation = Speculation(state, max_recent=2, logits_needed_from=lambda: 2)

    assert speculation.is_stuck(speculation.demand(()))


def test_tokens_processed_again_after_a_rewind_are_chunked_as_a_prompt():
    state = RequestState("r", [1, 2], max_tokens=9)
    state.append([3, 4, 5, 6], forced=False)
    speculation = Speculation(state, max_recent=0, logits_needed_from=lambda: 6)
    speculation.processed(6)
    speculation.rewound(2, 5)

    assert speculation.demand(()).is_prompt
    speculation.processed(3)
    assert not speculation.demand(()).is_prompt


@pytest.mark.parametrize(("is_finite", "may_hold_nan"), [(True, False), (False, True)])
def test_cache_may_hold_nan_if_logits_of_processed_tokens_were_not_seen(is_finite, may_hold_nan):
    state = RequestState("r", [1, 2], max_tokens=9)
    speculation = Speculation(state, max_recent=0, logits_needed_from=lambda: 2)
    speculation.processed(2)
    speculation.mark_pending()
    speculation.processed(1)
    state.append([3], forced=False)
    speculation.resolve(2, 3, is_finite=is_finite)

    assert speculation.may_hold_nan == may_hold_nan
