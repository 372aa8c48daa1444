"""Prefixes that running rows hold or are about to hold, and requests that wait for them."""

from tiny import ask, finish, make_engine, run, submit

SYSTEM = tuple(range(32, 122))
QUESTION = tuple(b" and then?")


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
