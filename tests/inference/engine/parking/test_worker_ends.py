"""Workers end with what used them, and their end fails one request only."""

import os
import signal
import time

import msgspec
import pytest
from concordance_inference.control import AttachMod, DetachMod
from concordance_inference.generation import Failed
from concordance_inference.sandbox.isolated_mod import IsolatedMod
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.supervisor import Supervisor
from concordance_sdk.request_context import RequestContext
from concordance_shared import ModRaisedError, SandboxUnavailableError
from controlled import row_of, send, step_until
from sandboxes import handler, source_of
from tiny import ask, finish, make_engine, run, submit

NOOP = handler("return None")
SLEEPS = """
    import time
    from concordance_sdk import Added, mod

    @mod(on=[Added])
    def tested(event, actions):
        time.sleep(60 if event.step == 2 else 0)
    """


def worker_of(sandbox, source, context=None):
    asked = LeaseRequest(source=source, request_id="r")
    return IsolatedMod(sandbox.lease(asked), context or RequestContext(request_id="r"))


def ask_isolated(sandbox, source, **fields):
    request = ask("Hello there", **fields)
    return msgspec.structs.replace(request, instances=(worker_of(sandbox, source),))


def is_unused(sandbox):
    """True once no worker is leased."""
    deadline = time.monotonic() + 60
    while sandbox.status.num_leased and time.monotonic() < deadline:
        time.sleep(0.005)
    return not sandbox.status.num_leased


@pytest.fixture(name="own")
def _own():
    """A sandbox of this test, whose zygote it may kill."""
    supervisor = Supervisor(SandboxOptions(load_s=60, prefilled_s=60, event_s=60))
    supervisor.start()
    while not supervisor.status.is_available:
        time.sleep(0.01)
    yield supervisor
    supervisor.stop()


def test_a_zygote_that_dies_fails_the_requests_of_its_workers_and_no_others(own):
    engine = make_engine()
    answers = submit(engine, ask_isolated(own, source_of(SLEEPS), max_tokens=8))
    plain = submit(engine, ask("Other", max_tokens=30))
    row = next(row for row in _stepped(engine) if row.mods.may_park)
    while not row.calls.is_parked:
        engine.step()
    os.kill(own.pool._link.pid, signal.SIGKILL)
    finish(engine, max_steps=10**6)

    assert isinstance(answers.end, Failed)
    assert (answers.error.code, answers.error.status_code) == ("sandbox_unavailable", 503)
    assert answers.error.event == "Added"
    assert plain.ids == run(make_engine(), ask("Other", max_tokens=30)).ids


def _stepped(engine):
    engine.step()
    return engine.rows


def test_a_mod_that_is_dropped_ends_its_worker(sandbox):
    request = ask_isolated(sandbox, NOOP)
    assert sandbox.status.num_leased
    del request

    assert is_unused(sandbox)


def test_a_request_that_is_refused_before_it_has_a_row_ends_its_workers(sandbox):
    request = ask_isolated(sandbox, NOOP, max_tokens=4)
    request = msgspec.structs.replace(request, prompt_ids=(99999,))
    answers = submit(make_engine(), request)
    del request

    assert isinstance(answers.end, Failed)
    assert is_unused(sandbox)


def test_a_request_that_is_cancelled_while_it_waits_ends_its_workers(sandbox):
    engine = make_engine(max_rows=1)
    submit(engine, ask(max_tokens=50))
    engine.step()
    request = ask_isolated(sandbox, NOOP, max_tokens=4)
    answers = submit(engine, request)
    engine.cancel(request.request_id)
    del request

    assert isinstance(answers.end, Failed)
    assert is_unused(sandbox)


def test_a_request_that_is_cancelled_while_it_is_parked_ends_its_workers(own):
    engine = make_engine()
    request = ask_isolated(own, source_of(SLEEPS), max_tokens=8)
    answers = submit(engine, request)
    engine.step()
    while not (engine.rows and engine.rows[0].calls.is_parked):
        engine.step()
    engine.cancel(request.request_id)

    assert str(answers.end.finish_reason) == "cancelled"
    assert is_unused(own)


def test_a_mod_that_is_removed_from_a_request_ends_its_worker(sandbox):
    engine = make_engine()
    request = ask_isolated(sandbox, NOOP, max_tokens=200)
    submit(engine, request)
    step_until(engine, request, 3)
    send(engine, request, DetachMod("tested"))
    for _ in range(50):
        engine.step()

    assert is_unused(sandbox)


@pytest.mark.parametrize(
    ("body", "error"),
    [("raise ValueError('no')", ModRaisedError), ("while True: pass", None)],
    ids=["raises", "is lost"],
)
def test_a_mod_that_fails_while_it_catches_up_leaves_the_request_as_it_was(own, body, error):
    engine = make_engine()
    request = ask(max_tokens=30)
    answers = submit(engine, request)
    step_until(engine, request, 3)
    mod = worker_of(own, handler(body), row_of(engine, request).mods.context)
    sent = send(engine, request, AttachMod(instance=mod))
    if error is None:
        while not row_of(engine, request).calls.is_parked:
            engine.step()
        os.kill(own.pool._link.pid, signal.SIGKILL)
    finish(engine, max_steps=10**6)

    assert sent.outcome.code == (error or SandboxUnavailableError).code
    assert answers.ids == run(make_engine(), ask(max_tokens=30)).ids
    assert is_unused(own)
