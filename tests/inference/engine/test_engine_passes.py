"""Engine: which tokens the passes of each step process, and which passes are wasted."""

import mlx.core as mx
import pytest
from concordance_inference.engine.model.runner import ModelRunner
from concordance_sdk import Added, ForwardPass, Prefilled, Sampled, mod
from families import model_named
from tiny import (
    ask,
    fresh_logits,
    make_engine,
    run,
)


@pytest.fixture(name="reads")
def _reads(monkeypatch):
    """Per step, what the passes process: (row, token ids; None for the pending token)."""
    seen = []
    plain = ModelRunner.forward

    def forward(self, plan, sampled):
        seen.append([(read.row, read.token_ids) for pass_ in plan.passes for read in pass_.reads])
        return plain(self, plan, sampled)

    monkeypatch.setattr(ModelRunner, "forward", forward)
    return seen


def only_row(reads):
    return [ids if ids is None else bytes(ids) for step in reads for _, ids in step]


def test_prompt_is_prefilled_then_each_token_processed_before_it_is_seen(reads):
    run(make_engine(), ask("Hello", max_tokens=4))

    assert only_row(reads) == [b"Hello", None, None, None]


def test_last_token_of_the_budget_is_not_processed(reads):
    run(make_engine(), ask("Hello", max_tokens=1))

    assert only_row(reads) == [b"Hello"]


def test_forced_tokens_are_processed_in_one_pass(reads):
    @mod(on=[ForwardPass])
    def force(event, actions):
        if event.step == 0:
            return actions.force_tokens(b"and so on")

    run(make_engine(), ask("Hello", force, max_tokens=10))

    assert only_row(reads) == [b"Hello", b"and so on"]


def test_after_backtrack_only_the_changed_tail_is_processed(reads):
    fixes = [1]

    @mod(on=[Added])
    def fix(event, actions):
        if event.step == 5 and fixes:
            fixes.pop()
            return actions.backtrack(4, b"XYZ")

    run(make_engine(), ask("Hello", fix, max_tokens=8))

    # Six tokens were sampled, and the pass over the sixth was launched, when the mod backtracked
    # four. Speculation is then suspended.
    assert [ids and len(ids) for ids in only_row(reads)] == [5, *[None] * 6, 3, 1, 1]
    assert only_row(reads)[7] == b"XYZ"


def test_backtrack_to_a_recent_position_needs_no_pass(reads):
    left = [1]

    @mod(on=[Added])
    def redo(event, actions):
        if event.step == 3 and left:
            left.pop()
            return actions.backtrack(2)

    plain = run(make_engine(), ask("Hello", max_tokens=5))
    reads.clear()
    answers = run(make_engine(), ask("Hello", redo, max_tokens=5))

    assert answers.ids == plain.ids
    assert [ids and len(ids) for ids in only_row(reads)] == [5, *[None] * 4, 1, 1]


def test_remembered_logits_are_not_used_after_other_tokens(reads):
    """Remembered logits are valid for the prefix they follow, and for no other."""
    model = model_named("llama")
    moves = [("back", 3, b"??"), ("back", 1, None)]

    @mod(on=[Added])
    def branch(event, actions):
        length = event.step + len(event.added_tokens)
        if moves and length in (4, 3):
            _, n, tokens = moves.pop(0)
            return actions.backtrack(n, tokens)

    answers = run(make_engine(model), ask("Hello", branch, max_tokens=6))
    ids = list(b"Hello") + list(answers.ids[:2])
    assert bytes(answers.ids[1:2]) == b"?"
    for token_id in answers.ids[2:]:
        assert int(mx.argmax(fresh_logits(model, ids)).item()) == token_id
        ids.append(token_id)


def test_speculation_backs_off_after_a_wasted_pass(reads):
    left = [1]

    @mod(on=[Sampled])
    def once(event, actions):
        if left:
            left.pop()
            return actions.force_tokens([65])

    run(make_engine(), ask("Hello", once, max_tokens=60))
    ahead = [ids is None for ids in only_row(reads)]

    assert ahead[:3] == [False, True, False]
    assert ahead[3:33] == [False] * 30
    assert all(ahead[36:])


def test_forcing_the_sampled_token_wastes_no_pass(reads):
    @mod(on=[Sampled])
    def same(event, actions):
        return actions.force_tokens([event.sampled_token])

    run(make_engine(), ask("Hello", same, max_tokens=4))

    assert only_row(reads) == [b"Hello", None, None, None]


def test_rows_share_their_passes(reads):
    run(make_engine(), *(ask("Hello", max_tokens=5) for _ in range(4)))

    assert [len(step) for step in reads] == [4] * 5


def test_backtrack_of_one_row_does_not_waste_the_pass_of_others(reads):
    @mod(on=[Added])
    def fix(event, actions):
        if event.step == 1 and not event.forced:
            return actions.backtrack(1, b"XY")

    run(make_engine(), ask("Hello", max_tokens=8), ask("Hello", fix, max_tokens=8))

    assert [[len(ids or (0,)) for _, ids in step] for step in reads[2:5]] == [
        [1, 1],
        [1, 2],
        [1, 1],
    ]


def test_long_forced_span_is_processed_in_chunks_beside_decoding_rows(reads):
    @mod(on=[ForwardPass])
    def force(event, actions):
        return actions.force_tokens(b"x" * 100) if event.step == 0 else None

    run(make_engine(), ask("Hello", max_tokens=40), ask("Hello", force, max_tokens=110))
    spans = [dict(step) for step in reads if len(step) == 2]

    assert all(len(step[1] or (0,)) <= 16 for step in spans)
    assert [step[0] for step in spans[1:]] == [None] * (len(spans) - 1)
    assert b"".join(bytes(step[1]) for step in spans[1:] if step[1]).startswith(b"x" * 100)


def test_replaced_prompt_is_prefilled(reads):
    @mod(on=[Prefilled])
    def swap(event, actions):
        return actions.adjust_prefill(b"Other", max_steps=3)

    answers = run(make_engine(), ask("Hello", swap, max_tokens=9))

    assert only_row(reads)[0] == b"Other"
    assert (answers.end.prompt_tokens, len(answers.ids)) == (5, 3)


def test_output_forced_at_prefilled_needs_no_pass(reads):
    @mod(on=[Prefilled])
    def say(event, actions):
        return actions.force_output(b"No.")

    answers = run(make_engine(), ask("Hello", say))

    assert (answers.end.text, reads) == ("No.", [])


def test_model_with_a_hidden_lm_head_computes_all_logits():
    model = model_named("llama")
    engine = make_engine(model)
    expected = run(engine, ask("Hello")).ids

    class Wrapped:
        layers = model.layers

        def __call__(self, inputs, cache=None):
            return model(inputs, cache=cache)

        def make_cache(self):
            return model.make_cache()

    wrapped = make_engine(Wrapped())

    assert not wrapped._runner.head.is_selective
    assert run(wrapped, ask("Hello")).ids == expected
