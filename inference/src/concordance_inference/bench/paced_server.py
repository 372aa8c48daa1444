"""Serves an engine that computes nothing, at a fixed pace, for figures of the HTTP layer alone.

`python -m concordance_inference.bench.paced_server STEP_MS` prints its port and serves until it is
killed.
"""

import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

from concordance_shared import EngineError, FinishReason

from concordance_inference.engine.engine import Engine
from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    ModelInfo,
    Started,
    TextDelta,
)
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_inference.server.transport.http_server import http_server
from concordance_inference.tools.tool_format import GENERIC

MODEL = "paced"

_INFO = ModelInfo(id=MODEL, created=0, context_length=1 << 20, vocab_size=256)
_TEXT = " word"


class NoControl:
    """The part of `LiveControl` that the engine's thread reads."""

    next_s = None


class PacedEngine:
    """Emits a token of each request in every step, which takes a fixed time."""

    traits = None
    control = NoControl()

    def __init__(self, step_s: float) -> None:
        """Start without requests."""
        self._step_s = step_s
        self._next = 0.0
        self._rows: dict[str, tuple[GenerationRequest, Emit]] = {}
        self._num_sent: dict[str, int] = {}

    @property
    def has_work(self) -> bool:
        """True while a request runs."""
        return bool(self._rows)

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        """Run a request from the next step on."""
        self._rows[request.request_id] = request, emit
        self._num_sent[request.request_id] = 0
        emit(Started(prompt_tokens=len(request.prompt_ids)))

    def cancel(self, request_id: str) -> None:
        """Forget a request."""
        self._rows.pop(request_id, None)

    def step(self) -> None:
        """Wait for the end of the step, and emit a token of each request."""
        self._next = max(self._next + self._step_s, time.monotonic() - self._step_s)
        time.sleep(max(0.0, self._next - time.monotonic()))
        for request_id, (request, emit) in list(self._rows.items()):
            emit(TextDelta(text=_TEXT))
            self._num_sent[request_id] += 1
            if self._num_sent[request_id] == request.max_tokens:
                self.cancel(request_id)
                emit(_completed(request, self._num_sent.pop(request_id)))

    def fail_all(self, error: EngineError) -> None:
        """End every request with an error."""
        for _, emit in self._rows.values():
            emit(Failed(error=error))
        self._rows.clear()


class PacedChat:
    """Renders a conversation to the bytes of its last message."""

    options = frozenset[str]()
    reasoning_tags = ()
    marker_ids = ()
    special_ids = frozenset[int]()
    tool_format = GENERIC
    can_reason = False
    harmony = None
    hosted_tools = None

    def render(self, messages: Sequence[Any], *_: object, **__: object) -> list[int]:
        """Return the bytes of the last message."""
        return list(messages[-1].text.encode())

    def token_bytes(self, token_id: int, *, at_start: bool = False) -> bytes:
        """Return the byte of a token."""
        del at_start
        return bytes([token_id])

    def remember(self, *_: object) -> None:
        """Keep nothing."""


class PacedRuntime(Runtime):
    """The real runtime with a paced engine."""

    def __init__(self, step_s: float) -> None:
        """Make the runtime; `start` starts its engine."""
        super().__init__(MODEL, ModCatalog(), progress=lambda _: None)
        self._engine = PacedEngine(step_s)
        self._chat = cast(Any, PacedChat())

    def _build(self) -> tuple[Engine, ModelInfo]:
        return cast(Engine, self._engine), _INFO


def _completed(request: GenerationRequest, num_tokens: int) -> Completed:
    return Completed(
        text=_TEXT * num_tokens,
        token_ids=(0,) * num_tokens,
        finish_reason=FinishReason.LENGTH,
        prompt_tokens=len(request.prompt_ids),
        completion_tokens=num_tokens,
    )


def main(step_ms: float) -> None:
    """Serve until the process is killed."""
    runtime = PacedRuntime(step_ms / 1e3)
    runtime.engine.start()
    context = ServerContext(models=OneModel(runtime, runtime.chat), mods=runtime.mods)
    server = http_server(create_app(context), runtime.stop)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        server.run(sockets=[listener])


if __name__ == "__main__":
    main(float(sys.argv[1]))
