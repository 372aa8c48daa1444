"""Traces never keep the engine waiting, whatever their readers and their store do."""

import threading
import time

from concordance_inference.traces.hub import MAX_TOKEN_TRACES, TraceHub
from concordance_inference.traces.live import Watcher
from concordance_inference.traces.recorder import TraceRecorder
from concordance_inference.traces.store import TraceStore
from tiny import ask, make_engine, run


class Texts:
    def decode(self, token_ids):
        return "".join(map(chr, token_ids))

    def token_bytes(self, token_id, *, at_start=False):
        return chr(token_id).encode()


class BlockedStore(TraceStore):
    """A store that waits until it may write."""

    def __init__(self):
        super().__init__()
        self.may_write = threading.Event()

    def add(self, traces):
        assert self.may_write.wait(30)
        super().add(traces)


def begun(hub, *requests):
    return hub.begin(requests, model="m", path="/", texts=Texts())


def test_a_store_that_is_blocked_keeps_no_request_waiting():
    store = BlockedStore()
    hub = TraceHub("tokens", store)
    engine = make_engine()
    (first,) = begun(hub, ask("Hello", max_tokens=3))
    run(engine, first)
    time.sleep(0.1)  # the hub's thread is in `add`

    (second,) = begun(hub, ask("Hello", max_tokens=30))
    answers = run(engine, second)

    assert len(answers.ids) == 30
    assert store.list() == []
    store.may_write.set()
    hub.stop()
    assert len(store.list()) == 2
    assert store.get(second.request_id).completion_ids == list(answers.ids)


def test_a_watcher_that_never_reads_keeps_no_request_waiting_and_learns_what_it_lost():
    hub = TraceHub()
    watcher = Watcher(lambda: None)
    hub.watch(watcher)
    for _ in range(3000):
        watcher.put([b"x" * 100])
    (request,) = begun(hub, ask("Hello", max_tokens=20))

    answers = run(make_engine(), request)

    hub.stop()
    assert hub.store.get(request.request_id).completion_ids == list(answers.ids)
    messages, num_dropped = watcher.take()
    assert len(messages) == 2000
    assert num_dropped > 1000


def test_records_that_the_engine_drops_are_counted_in_the_trace():
    hub = TraceHub("tokens")
    (request,) = begun(hub, ask("Hello", max_tokens=40))
    request.recorder._max_waiting = 10
    hub._stop.set()  # no thread reads

    run(make_engine(), request)

    hub.stop()
    trace = hub.store.get(request.request_id)
    assert trace.is_truncated
    assert trace.dropped_records > 50
    assert len(trace.completion_ids) == 40


def test_beyond_the_most_token_traces_requests_are_traced_without_tokens():
    hub = TraceHub("tokens")
    hub._stop.set()

    made = begun(hub, *(ask("Hello", max_tokens=1) for _ in range(MAX_TOKEN_TRACES + 2)))

    levels = [request.recorder.level for request in made]
    assert levels == ["tokens"] * MAX_TOKEN_TRACES + ["requests"] * 2


def test_a_full_recorder_takes_no_more_records():
    recorder = TraceRecorder(max_waiting=5)
    for i in range(100):
        recorder.drew(i, i)

    assert recorder.num_dropped == 95
    assert [record[1] for record in recorder.take()] == [0, 1, 2, 3, 4]
    recorder.drew(100, 100)
    assert recorder.take() == []  # what is recorded is a prefix
