"""Makes traces of requests: starts their recorders, follows them, stores and sends the traces."""

import logging
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from concordance_sdk.host.mod_scope import ModScope
from msgspec.structs import replace

from concordance_inference.caller import current_owner, may_see, owned_ids
from concordance_inference.generation import GenerationRequest
from concordance_inference.traces.active import ActiveTrace, Origin, Texts
from concordance_inference.traces.live import Watcher, Watchers
from concordance_inference.traces.recorder import TraceRecorder
from concordance_inference.traces.schema import Level, Trace
from concordance_inference.traces.store import TraceStore, unknown

logger = logging.getLogger(__name__)

#: Seconds between two looks at the recorders.
INTERVAL_S = 0.05

#: Requests that are traced token by token at the same time; of others only the request is.
MAX_TOKEN_TRACES = 64

#: All requests that are traced at the same time; others are not.
MAX_TRACES = 1024


class TraceHub:
    """The traces of one process. One thread makes them, beside the engine and the event loop.

    Attributes:
        level: Of requests that do not choose.
        store: Where ended traces are kept.
        keeps_prompts: Traces have the prompt.
        watchers: Who gets the traces while they grow. While an owner watches, its requests that
            choose nothing have the level `tokens`.
    """

    def __init__(
        self,
        level: Level = "off",
        store: TraceStore | None = None,
        *,
        keeps_prompts: bool = True,
    ) -> None:
        """Start without traces. A thread runs only while there are some.

        Args:
            level: Of requests that do not choose.
            store: Keeps ended traces; one in memory by default.
            keeps_prompts: Keep the prompts of requests.
        """
        self.level: Level = level
        self.store = store or TraceStore()
        self.keeps_prompts = keeps_prompts
        self.watchers = Watchers()
        self._active: dict[str, ActiveTrace] = {}
        self._lock = threading.Lock()  # of `_active` and the start of the thread
        self._following = threading.Lock()  # of the builders
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def level_of(self, chosen: Level | None) -> Level:
        """Return the level of a request.

        Args:
            chosen: What the request says.
        """
        if chosen is not None:
            return chosen
        return "tokens" if self.watchers.has_any_of(current_owner()) else self.level

    def begin(
        self,
        requests: Sequence[GenerationRequest],
        *,
        model: str,
        path: str,
        texts: Texts,
        body: bytes | None = None,
        build: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> tuple[GenerationRequest, ...]:
        """Begin the traces of the completions of one HTTP request.

        Args:
            requests: The requests.
            model: The model's name.
            path: The route.
            texts: Decodes tokens.
            body: Of the HTTP request.
            build: What computes the completion; see `ModelInfo`.
            settings: Those of the server that the request depends on.

        Returns:
            The requests, with recorders.
        """
        origin = Origin(
            model=model, path=path, body=body, build=build or {}, settings=settings or {}
        )
        return tuple(
            self._begun(request, replace(origin, choice=i), texts)
            for i, request in enumerate(requests)
        )

    def close(self, requests: Sequence[GenerationRequest]) -> None:
        """Note that HTTP requests are over: a trace without a row ends then."""
        for request in requests:
            if request.recorder is not None:
                request.recorder.close()

    def log(self, scope: ModScope, line: str, level: str = "print") -> None:
        """Record a line that a mod printed or logged, if its request is traced."""
        if active := self._active.get(scope.request_id):
            active.recorder.log(scope.mod, level, line)

    def get(self, trace_id: str) -> Trace:
        """Return a trace, so far if its request runs.

        Raises:
            UnknownTraceError: There is none of this id.
        """
        for name in owned_ids(trace_id):
            if trace := self.running(name) or self.store.find(name):
                return trace
        raise unknown(trace_id)

    def encoded(self, trace_id: str) -> bytes:
        """Return a trace as JSON, so far if its request runs.

        Raises:
            UnknownTraceError: There is none of this id.
        """
        for name in owned_ids(trace_id):
            if trace := self.running(name):
                return msgspec.json.encode(trace)
            if (body := self.store.body(name)) is not None:
                return body
        raise unknown(trace_id)

    def running(self, trace_id: str) -> Trace | None:
        """Return a copy of the trace of a request that runs; None if the caller may see none."""
        with self._following:
            active = self._active.get(trace_id)
            if active is None or not may_see(active.trace.owner):
                return None
            active.follow()
            return _copied(active.trace)

    def delete(self, trace_id: str) -> None:
        """Delete the trace of a request that has ended.

        Raises:
            UnknownTraceError: There is none of this id.
        """
        self.flush()
        if not any(map(self.store.remove, owned_ids(trace_id))):
            raise unknown(trace_id)

    def flush(self) -> None:
        """Follow all recorders now, and store the traces that have ended."""
        with self._following:
            self._follow()

    def watch(self, watcher: Watcher) -> None:
        """Send traces that grow to one more, those that run first, as far as they are."""
        with self._following:
            for active in self._active.values():
                if watcher.wants(active.trace.id, active.trace.owner) and active.is_announced:
                    watcher.put(_whole(active))
            self.watchers.add(watcher)

    def stop(self) -> None:
        """Store what has ended, and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _begun(self, request: GenerationRequest, origin: Origin, texts: Texts) -> GenerationRequest:
        level = self.level_of(request.trace)
        if level == "off" or len(self._active) >= MAX_TRACES:
            return request
        if level == "tokens" and len(self._active) >= MAX_TOKEN_TRACES:
            level = "requests"
        recorder = TraceRecorder(level)
        active = ActiveTrace(request, recorder, origin, texts, keeps_prompt=self.keeps_prompts)
        with self._lock:
            self._active[request.request_id] = active
            self._start()
        return replace(request, recorder=recorder)

    def _start(self) -> None:
        """Start the thread unless it runs. It ends with the last trace, or with the hub."""
        if self._thread is None or not self._thread.is_alive():
            hub = weakref.ref(self)
            self._thread = threading.Thread(
                target=_run, args=(hub, self._stop), name="traces", daemon=True
            )
            self._thread.start()

    def follow_once(self) -> bool:
        """Follow all recorders; return False, once, when no trace is left."""
        with self._following:
            self._follow()
        with self._lock:
            if self._active:
                return True
            self._thread = None
            return False

    def _follow(self) -> None:
        ended: list[Trace] = []
        for active in list(self._active.values()):
            try:
                if active.follow() and self.watchers:
                    self.watchers.send(active.trace.id, active.trace.owner, _changes(active))
            except Exception:
                logger.exception("the trace of request %s failed", active.trace.id)
                active.builder.fail("the trace could not be made; the log has the reason")
            if active.builder.is_over:
                ended.append(active.trace)
        if ended:
            self._store(ended)

    def _store(self, ended: Sequence[Trace]) -> None:
        try:
            self.store.add(ended)
        except Exception:  # a full disk must not end the thread
            logger.exception("%d traces could not be stored", len(ended))
        with self._lock:
            for trace in ended:
                self._active.pop(trace.id, None)


def _run(hub: "weakref.ref[TraceHub]", stop: threading.Event) -> None:
    while not stop.wait(INTERVAL_S):
        current = hub()
        if current is None or not current.follow_once():
            return
        del current


def _copied(trace: Trace) -> Trace:
    """Copy a trace that grows: its lists, and their entries, which change."""
    return replace(
        trace,
        tokens=[replace(token) for token in trace.tokens],
        events=[replace(event) for event in trace.events],
        steps=[replace(step) for step in trace.steps],
        logs=list(trace.logs),
    )


# Messages to watchers. `docs/traces.md` describes them.


def _begin_message(trace: Trace) -> dict[str, Any]:
    head = replace(trace, tokens=[], events=[], steps=[], logs=[])
    return {"type": "begin", "id": trace.id, "trace": head}


def _changes(active: ActiveTrace) -> list[dict[str, Any]]:
    """Messages about what is new in a trace, in order; the last one when it has ended."""
    tokens, events, steps = active.builder.take_changes()
    trace = active.trace
    messages: list[dict[str, Any]] = []
    if not active.is_announced:
        active.is_announced = True
        messages.append(_begin_message(trace))
    if tokens or events or steps:
        update = {"tokens": tokens, "events": events, "steps": steps}
        given = {name: some for name, some in update.items() if some}
        messages.append({"type": "update", "id": trace.id, **given})
    if active.builder.is_over:
        head = replace(trace, tokens=[], events=[], steps=[])
        messages.append({"type": "end", "id": trace.id, "trace": head})
    return messages


def _whole(active: ActiveTrace) -> list[bytes]:
    trace = active.trace
    update = {"tokens": trace.tokens, "events": trace.events, "steps": trace.steps}
    messages = [_begin_message(trace), {"type": "update", "id": trace.id, **update}]
    return [msgspec.json.encode(message) for message in messages]
