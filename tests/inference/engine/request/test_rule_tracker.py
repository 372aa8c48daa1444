"""Rules for tokens. The oracle is a mod that masks the same tokens at `ForwardPass`."""

import random

import pytest
from concordance_inference.engine.request.rule_tracker import RuleTracker
from concordance_inference.generation import SamplingParams
from concordance_inference.token_rules import LegalTokens
from concordance_sdk import Added, ForwardPass, mod
from concordance_sdk.host.request_state import RequestState
from families import FAMILIES, VOCAB, model_named
from meddling import meddler_of
from tiny import ask, finish, make_engine, run, submit

#: Tokens after which a header begins: about every third token of a random model.
MARKS = frozenset(range(0, 250, 3))


class Headers:
    """In content all but a few tokens are legal; a mark begins a header of three tokens."""

    header = (LegalTokens(frozenset({10, 11, 12})), LegalTokens(frozenset({13})), LegalTokens(
        frozenset({20, 21}))
    )  # fmt: skip
    content = LegalTokens(frozenset({1, 2, 5, 256}), is_complement=True)

    def start(self, prompt_ids):
        return 0

    def after(self, state, token_id):
        if state == 3:
            return 0 if token_id in MARKS else state
        return state + 1 if token_id in self.header[state] else 3

    def legal(self, state):
        return self.content if state == 3 else self.header[state]

    def usual(self, state):
        return 3 if state == 3 else None


RULES = Headers()


def masking(rules=RULES):
    """A mod that masks by the rules, computed from the whole completion each time."""

    @mod(name="masking")
    class Masking:
        def __init__(self):
            self.ids = []

        def added(self, event: Added, actions):
            del self.ids[event.step :]
            self.ids += event.added_tokens

        def forward_pass(self, event: ForwardPass, actions):
            state = rules.start(())
            for token_id in self.ids[: event.step]:
                state = rules.after(state, token_id)
            legal = rules.legal(state)
            allowed = [i in legal for i in range(VOCAB)]
            return actions.adjust_logits(mask=allowed)

    return Masking


def meddler(seed):
    """A mod that forces tokens and backtracks at random."""
    dice = random.Random(seed)
    return meddler_of(dice, lambda count: [dice.randrange(256) for _ in range(count)])


SAMPLING = [
    SamplingParams(temperature=0),
    SamplingParams(seed=3),
    SamplingParams(seed=5, temperature=1.5, top_p=0.8),
    SamplingParams(seed=7, top_k=4),
    SamplingParams(seed=9, min_p=0.1, repetition_penalty=1.3),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sampling", SAMPLING)
def test_rules_give_the_tokens_of_a_mod_that_masks_by_them(family, sampling):
    engine = make_engine(model_named(family))
    expected = run(engine, ask("Hello", masking(), max_tokens=60, sampling=sampling))
    ruled = run(engine, ask(max_tokens=60, sampling=sampling, token_rules=RULES))
    assert ruled.ids == expected.ids
    assert ruled.end.backtracked_tokens == 0


@pytest.mark.parametrize("sampling", SAMPLING[:3])
def test_rules_give_the_same_tokens_in_a_batch_with_logprobs_and_beside_a_mod(sampling):
    @mod(name="noop", on=[ForwardPass])
    def noop(event, actions):
        """Read the logits."""

    engine = make_engine()
    alone = [
        run(engine, ask(bytes([65 + i] * (3 + i)), max_tokens=40, sampling=sampling,
                        token_rules=RULES)).ids
        for i in range(4)
    ]  # fmt: skip
    fields = ({}, {"top_logprobs": 2, "sampled_logprobs": True}, {"stream": True}, {})
    mods = ((), (), (), (noop,))
    answers = [
        submit(engine, ask(bytes([65 + i] * (3 + i)), *mods[i], max_tokens=40, sampling=sampling,
                           token_rules=RULES, **fields[i]))
        for i in range(4)
    ]  # fmt: skip
    submit(engine, ask("beside", max_tokens=50, sampling=sampling))
    finish(engine)
    assert [answer.ids for answer in answers] == alone
    logprobs = answers[1].end.logprobs
    assert [entry.token_id for entry in logprobs] == list(alone[1])


def test_legal_tokens_have_the_probability_under_the_mask():
    engine = make_engine()
    sampling = SamplingParams(seed=1)
    fields = {"top_logprobs": 0, "sampled_logprobs": True}
    ruled = run(engine, ask(max_tokens=30, sampling=sampling, token_rules=RULES, **fields))
    masked = run(engine, ask("Hello", masking(), max_tokens=30, sampling=sampling, **fields))
    for entry, expected in zip(ruled.end.logprobs, masked.end.logprobs, strict=True):
        assert entry.sampled_logprob == pytest.approx(expected.sampled_logprob, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_a_mod_that_forces_and_backtracks_sees_the_rules_hold_afterwards(seed):
    engine = make_engine()
    sampling = SamplingParams(seed=seed)
    meddling = meddler(seed)
    ruled = run(engine, ask("Hello", meddling, max_tokens=60, sampling=sampling, token_rules=RULES))
    again = run(engine, ask("Hello", meddler(seed), max_tokens=60, sampling=sampling,
                            token_rules=RULES))  # fmt: skip
    assert ruled.ids == again.ids
    state = RULES.start(())
    for token_id, forced in zip(ruled.ids, ruled.end.forced_by, strict=True):
        assert forced is not None or token_id in RULES.legal(state)
        state = RULES.after(state, token_id)


def test_a_mod_that_leaves_no_legal_token_prevails():
    @mod(name="picky", on=[ForwardPass])
    def picky(event, actions):
        return actions.adjust_logits(mask=[i in (65, 66) for i in range(VOCAB)])

    answers = run(make_engine(), ask("Hello", picky, max_tokens=5, token_rules=RULES))
    assert set(answers.ids) <= {65, 66}


def test_a_mask_is_a_guess_while_the_token_before_is_unknown():
    state = RequestState("r", [1], max_tokens=99)
    tracker = RuleTracker(RULES, state)
    assert tracker.mask(is_pending=False) is RULES.header[0]
    assert tracker.is_right()
    state.append([10, 13, 20, 77], forced=False)
    assert tracker.mask(is_pending=True) is RULES.content
    state.append([77], forced=False)
    assert tracker.is_right()
    assert tracker.mask(is_pending=True) is RULES.content
    state.append([3], forced=False)  # a mark: a header begins
    assert not tracker.is_right()
    assert tracker.mask(is_pending=False) is RULES.header[0]
    assert tracker.is_right()


def test_the_state_follows_random_edits():
    dice = random.Random(4)
    state = RequestState("r", [1], max_tokens=10**6)
    tracker = RuleTracker(RULES, state)
    for _ in range(500):
        if state.num_completion and dice.random() < 0.3:
            state.backtrack(dice.randint(1, min(6, state.num_completion)))
        else:
            state.append([dice.choice([3, 10, 13, 20, 77])], forced=dice.random() < 0.5)
        expected = 0
        for token_id in state.completion_ids:
            expected = RULES.after(expected, token_id)
        assert tracker.legal is RULES.legal(expected)


def test_a_wrong_guess_of_a_mask_does_not_keep_tokens_from_being_sampled_ahead():
    engine = make_engine()
    answers = submit(engine, ask(max_tokens=40, token_rules=RULES))
    waits = 0
    while engine.has_work:
        engine.step()
        waits += any(row.speculation.backoff.is_on for row in engine.rows)
    assert len(answers.ids) == 40
    assert waits == 0
