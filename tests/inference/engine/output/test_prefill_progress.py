"""Reports of how much of a prompt is prefilled."""

from concordance_inference.generation import PrefillProgress
from tiny import ask, finish, make_engine, run, submit


def test_an_engine_reports_each_chunk_of_a_prefill_and_what_was_cached():
    engine = make_engine(chunk=8)
    run(engine, ask("x" * 16, max_tokens=1))
    updates = submit(engine, ask("x" * 32, max_tokens=2, stream=True, show_progress=True)).updates
    finish(engine)
    progress = [u for u in updates if isinstance(u, PrefillProgress)]

    assert {(p.total, p.cache) for p in progress} == {(32, 16)}
    assert [p.processed for p in progress] == [24, 32]
    assert updates[: len(progress)] == progress


def test_an_engine_reports_no_progress_unless_it_is_asked_to():
    engine = make_engine(chunk=8)
    updates = submit(engine, ask("x" * 32, max_tokens=2, stream=True)).updates
    finish(engine)

    assert not [u for u in updates if isinstance(u, PrefillProgress)]
