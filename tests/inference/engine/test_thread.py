"""An engine on a thread of its own, used from event loops and other threads."""

import asyncio
import queue
import threading
import time

import pytest
from concordance_inference.engine import thread as thread_module
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.supervision.loop import MAX_FAILURES
from concordance_inference.engine.supervision.restarts import RestartPolicy
from concordance_inference.engine.thread import EngineThread
from concordance_inference.generation import Completed, Failed, ModCall, ModelInfo, TextDelta
from concordance_sdk import Added, mod
from concordance_sdk.host import definition_of
from concordance_shared import (
    EngineError,
    EngineOverloadedError,
    EngineStoppedError,
    InvalidRequestError,
    ModelLoadError,
    ModTimeoutError,
)
from families import build_model
from tiny import ask, make_engine

INFO = ModelInfo(id="tiny", created=0, context_length=4096, vocab_size=257)


def build():
    return make_engine(build_model("llama")), INFO


@pytest.fixture(name="thread")
def _thread():
    with EngineThread(build, max_unfinished=4) as thread:
        yield thread


async def collect(thread, request):
    return [update async for update in thread.generate(request)]


def test_updates_of_a_request_end_with_its_completion(thread):
    updates = asyncio.run(collect(thread, ask("Hello", max_tokens=5, stream=True)))

    assert isinstance(updates[-1], Completed)
    assert "".join(u.text for u in updates if isinstance(u, TextDelta)) == updates[-1].text


def test_requests_of_one_event_loop_run_in_one_batch(thread):
    async def several():
        return await asyncio.gather(
            *(collect(thread, ask("Hello", max_tokens=5)) for _ in range(4))
        )

    ends = [updates[-1] for updates in asyncio.run(several())]

    assert len({end.token_ids for end in ends}) == 1


def test_requests_beyond_max_unfinished_are_rejected(thread):
    async def flood():
        tasks = [
            asyncio.ensure_future(collect(thread, ask("Hello", max_tokens=40))) for _ in range(6)
        ]
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(flood())

    assert sum(isinstance(result, EngineOverloadedError) for result in results) == 2
    assert thread.num_unfinished == 0


def test_closing_the_iterator_cancels_the_request(thread):
    async def leave():
        updates = thread.generate(ask("Hello", max_tokens=4000, stream=True))
        await anext(updates)
        await updates.aclose()

    asyncio.run(leave())
    deadline = time.monotonic() + 10
    while thread.num_unfinished and time.monotonic() < deadline:
        time.sleep(0.01)

    assert thread.num_unfinished == 0


def test_start_raises_the_error_of_loading():
    def broken():
        raise ModelLoadError("no such model")

    with pytest.raises(ModelLoadError, match="no such model"):
        EngineThread(broken, max_unfinished=1).start()


def test_a_step_that_raises_fails_its_requests_and_the_engine_continues(thread, monkeypatch):
    from concordance_inference.engine.engine import Engine

    plain = Engine.step
    left = [1]

    def step(self):
        if left[0] and self.rows:
            left[0] -= 1
            raise RuntimeError("kaput")
        plain(self)

    monkeypatch.setattr(Engine, "step", step)
    first = asyncio.run(collect(thread, ask("Hello", max_tokens=5)))[-1]
    second = asyncio.run(collect(thread, ask("Hello", max_tokens=5)))[-1]

    assert isinstance(first, Failed)
    assert isinstance(first.error, EngineError)
    assert "kaput" in str(first.error)
    assert isinstance(second, Completed)


def test_a_message_that_raises_fails_all_requests_and_the_engine_continues(thread, monkeypatch):
    plain, ends = Engine.cancel, queue.SimpleQueue()

    def cancel(self, request_id):
        monkeypatch.setattr(Engine, "cancel", plain)
        raise RuntimeError("kaput")

    monkeypatch.setattr(Engine, "cancel", cancel)
    thread.submit(
        ask("Hello", max_tokens=4000),
        lambda update: ends.put(update) if isinstance(update, Completed | Failed) else None,
    )
    thread.cancel("another")

    assert "kaput" in str(ends.get(timeout=20).error)
    assert isinstance(asyncio.run(collect(thread, ask("Hello", max_tokens=5)))[-1], Completed)


def test_a_panic_in_a_library_fails_its_requests_and_the_engine_continues(thread, monkeypatch):
    from concordance_inference.engine.engine import Engine

    class Panic(BaseException):
        pass

    plain = Engine.step
    left = [1]

    def step(self):
        if left[0] and self.rows:
            left[0] -= 1
            raise Panic("index out of bounds")
        plain(self)

    monkeypatch.setattr(Engine, "step", step)
    first = asyncio.run(collect(thread, ask("Hello", max_tokens=5)))[-1]
    second = asyncio.run(collect(thread, ask("Hello", max_tokens=5)))[-1]

    assert isinstance(first, Failed)
    assert "Panic: index out of bounds" in str(first.error)
    assert isinstance(second, Completed)


def test_an_engine_that_may_not_restart_stops_after_consecutive_failures(monkeypatch):
    def step(self):
        raise RuntimeError("kaput")

    monkeypatch.setattr(Engine, "step", step)
    thread = EngineThread(build, max_unfinished=4, restarts=RestartPolicy(max_restarts=0)).start()
    for _ in range(MAX_FAILURES):
        assert isinstance(asyncio.run(collect(thread, ask("Hello")))[-1], Failed)
    thread._thread.join(10)
    thread.stop()

    assert not thread.is_running
    with pytest.raises(EngineStoppedError):
        asyncio.run(collect(thread, ask("Hello")))


def test_stop_fails_running_requests():
    ends = []
    thread = EngineThread(build, max_unfinished=4).start()
    thread.submit(ask("Hello", max_tokens=4000), ends.append)
    thread.stop()

    assert isinstance(ends[-1], Failed)
    assert isinstance(ends[-1].error, EngineStoppedError)
    assert not thread.is_running


def test_a_request_submitted_during_stop_is_rejected_or_fails(monkeypatch):
    thread = EngineThread(build, max_unfinished=4).start()
    ends, refused = [], []

    def submit():
        try:
            thread.submit(ask("Hello"), ends.append)
        except EngineStoppedError as exc:
            refused.append(exc)

    class Inbox:
        """Stops the engine between the check that it runs and the submission."""

        def put(self, message):
            if isinstance(message, tuple):
                stopping.start()
                stopping.join(0.5)
            inbox.put(message)

        def __getattr__(self, name):
            return getattr(inbox, name)

    inbox, stopping = thread._loop.inbox, threading.Thread(target=thread.stop)
    monkeypatch.setattr(thread._loop, "inbox", Inbox())
    submit()
    stopping.join(10)

    assert len(ends) + len(refused) == 1
    assert all(isinstance(end, Failed) for end in ends)


def test_stop_ends_the_thread():
    before = threading.active_count()
    EngineThread(build, max_unfinished=1).start().stop()

    assert threading.active_count() == before


def test_stop_ends_requests_and_leaves_the_thread_on_which_a_handler_does_not_return(monkeypatch):
    monkeypatch.setattr(thread_module, "STUCK_S", 0.2)
    entered, leave = threading.Event(), threading.Event()

    @mod(on=[Added], registered=False, name="stuck")
    def stuck(event, actions):
        entered.set()
        leave.wait(20)

    ends = queue.SimpleQueue()
    thread = EngineThread(build, max_unfinished=4).start()
    thread.submit(ask("Hello", call(stuck), max_tokens=5), ends.put)
    assert entered.wait(20)
    thread.submit(ask("Hello", max_tokens=5), ends.put)
    thread.stop()
    errors = [ends.get_nowait().error for _ in range(2)]
    leave.set()
    thread._thread.join(20)

    assert thread.is_abandoned
    assert all(isinstance(error, EngineStoppedError) for error in errors)
    assert "mod 'ready' has not returned from Added (step 0)" in errors[1].message
    assert ends.empty()  # each request ends once
    assert not thread._thread.is_alive()


# Mods are prepared off the engine's thread


def call(target, **parameters):
    return ModCall(definition=definition_of(target), parameters=parameters, name="ready")


def test_prepare_creates_mods_off_the_engine_thread_which_then_runs_them(thread):
    seen = {}

    @mod(registered=False)
    class Ready:
        text: str

        def __init__(self):
            seen["__init__"] = threading.current_thread().name

        def prepare(self, tokenizer):
            seen["prepare"] = threading.current_thread().name
            self.token_ids = tokenizer.encode(self.text)

        def forward_pass(self, event, actions):
            seen["forward_pass"] = threading.current_thread().name
            return actions.force_output(self.token_ids)

    request = thread.prepare(ask("Hello", call(Ready, text="abc")))
    updates = asyncio.run(collect(thread, request))

    assert updates[-1].text == "abc"
    assert seen.pop("forward_pass") == "engine"
    assert seen == {"__init__": "time-limited", "prepare": "time-limited"}


def test_a_mod_that_exceeds_the_preparation_deadline_is_named_in_the_error(thread, monkeypatch):
    monkeypatch.setattr(thread_module, "READY_S", 0.1)

    @mod(registered=False)
    class Never:
        def __init__(self):
            while True:
                pass

        def forward_pass(self, event, actions): ...

    with pytest.raises(ModTimeoutError, match=r"'ready' was not ready in time: .* 0\.1 s"):
        thread.prepare(ask("Hello", call(Never)))


def test_a_mod_can_reject_a_request_on_both_threads(thread):
    @mod(registered=False)
    class Refuses:
        def __init__(self):
            raise InvalidRequestError("no", param="mods")

        def forward_pass(self, event, actions): ...

    request = ask("Hello", call(Refuses))
    with pytest.raises(InvalidRequestError):
        thread.prepare(request)
    (end,) = asyncio.run(collect(thread, request))
    assert isinstance(end.error, InvalidRequestError)


def test_prepared_requests_run_in_one_batch(thread):
    @mod(registered=False)
    class Count:
        def __init__(self):
            self.seen = 0

        def added(self, event, actions):
            self.seen += len(event.added_tokens)
            return actions.force_output([*str(self.seen).encode()]) if self.seen == 3 else None

    async def several():
        requests = [thread.prepare(ask("Hello", call(Count), max_tokens=9)) for _ in "abcd"]
        return await asyncio.gather(*(collect(thread, request) for request in requests))

    assert [updates[-1].text for updates in asyncio.run(several())] == ["3"] * 4
