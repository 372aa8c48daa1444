"""The rows of logits that mods are given, and those that they keep."""

import mlx.core as mx
from concordance_inference.engine.sampling.given_rows import GivenRows
from concordance_inference.engine.sampling.logits_row import RowSource
from concordance_sdk import ForwardPass, mod
from concordance_shared import AdjustedLogits
from tiny import ask, make_engine, run

STEP = [[0.0, 1.0, 2.0], [5.0, 4.0, 3.0]]


def given():
    return GivenRows(lambda row: row)


def test_a_kept_row_is_separated_from_the_step():
    rows = given()
    kept = rows.give(mx.array(STEP), 1)

    rows.separate_kept()

    assert kept._source.logits.shape == (1, 3)
    assert kept.to_numpy().tolist() == STEP[1]


def test_a_kept_row_that_is_adjusted_is_separated_with_what_it_was_made_of():
    rows = given()
    kept = rows.give(mx.array(STEP), 1).adjusted(AdjustedLogits(bias={0: 1.0}))

    rows.separate_kept()

    assert kept._source.logits.shape == (1, 3)
    assert kept.to_numpy().tolist() == [6.0, 4.0, 3.0]


def test_a_row_that_was_read_and_kept_is_separated():
    rows = given()
    kept = rows.give(mx.array(STEP), 0)
    before = kept.top_k(2)

    rows.separate_kept()

    assert kept.top_k(2) == before


def test_rows_that_no_mod_keeps_are_not_copied(monkeypatch):
    rows = given()
    rows.give(mx.array(STEP), 0)
    monkeypatch.setattr(RowSource, "separate", None)

    rows.separate_kept()


def test_the_engine_copies_the_rows_that_mods_keep_and_no_others(monkeypatch):
    kept, copied = [], []
    separate = RowSource.separate
    monkeypatch.setattr(RowSource, "separate", lambda row: copied.append(row) or separate(row))

    @mod(on=[ForwardPass])
    def reads(event, actions):
        return actions.adjust_logits(ban=[event.logits.top_k(1)[0][0]])

    @mod(on=[ForwardPass])
    def keeps(event, actions):
        if event.step == 1:
            kept.append(event.logits)

    run(make_engine(), ask("One", reads, max_tokens=5), ask("Two", reads, keeps, max_tokens=5))

    assert len(copied) == 1
    assert kept[0]._source.logits.shape == (1, 257)
