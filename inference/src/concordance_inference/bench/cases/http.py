"""The cost of the HTTP layer: an engine that computes nothing, in the real server."""

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager

import psutil

from concordance_inference.bench.cases.latency import quantile
from concordance_inference.bench.figures import Figure, measured
from concordance_inference.bench.paced_server import MODEL, PacedEngine
from concordance_inference.generation import GenerationRequest

#: Streams, the milliseconds of a step, and tokens of a stream.
_LOADS = ((1, 1.0, 3000), (64, 16.0, 250))

#: Tokens of each stream before the measurement: imports, caches.
_WARM_UP = 20

_TARGET_US = 60.0
_TARGET_MS = 5.0
_TARGET_RATE = 0.95
_NUM_ERRORS = 200


def figures() -> Iterator[Figure]:
    """Measure CPU time per streamed token, the rate of 64 streams, and the time of an error."""
    for num_streams, step_ms, num_tokens in _LOADS:
        with _server(step_ms) as (port, process):
            _streamed(port, num_streams, _WARM_UP)
            before, start = _cpu_s(process), time.monotonic()
            _streamed(port, num_streams, num_tokens)
            seconds, cpu_s = time.monotonic() - start, _cpu_s(process) - before
            if num_streams == 1:
                first_bytes = [_error_s(port) for _ in range(_NUM_ERRORS)]
                for q in (0.5, 0.95):
                    label = f"first byte of an error, p{q * 100:.0f}"
                    ms = 1e3 * quantile(first_bytes, q)
                    yield measured(label, MODEL, "ms", ms, target=_TARGET_MS, at_most=True)
        cpu_s -= _engine_cpu_s(num_streams, step_ms, num_tokens)
        us = 1e6 * cpu_s / (num_streams * num_tokens)
        label = f"CPU time per streamed token, {num_streams} streams"
        yield measured(label, MODEL, "µs", us, target=_TARGET_US, at_most=True)
        yield measured(
            f"rate of {num_streams} streams against the engine's",
            MODEL,
            "tokens/s",
            num_streams * num_tokens / seconds,
            baseline=num_streams / step_ms * 1e3,
            target=_TARGET_RATE if num_streams > 1 else None,
        )


@contextmanager
def _server(step_ms: float) -> Generator[tuple[int, psutil.Process]]:
    """Serve in a process of its own, whose CPU time is measured."""
    command = [sys.executable, "-m", "concordance_inference.bench.paced_server", str(step_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), psutil.Process(process.pid)
        finally:
            process.kill()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _engine_cpu_s(num_streams: int, step_ms: float, num_tokens: int) -> float:
    """Measure the CPU time of the engine alone, which waits between its steps."""
    engine = PacedEngine(step_ms / 1e3)
    for i in range(num_streams):
        engine.submit(
            GenerationRequest(request_id=str(i), prompt_ids=(1,), max_tokens=num_tokens),
            lambda _: None,
        )
    before = time.process_time()
    while engine.has_work:
        engine.step()
    return time.process_time() - before


def _request(body: object) -> bytes:
    raw = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


def _streamed(port: int, num_streams: int, num_tokens: int) -> None:
    """Read streams to their ends."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "max_tokens": num_tokens,
    }
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(num_streams):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(_request(body))
            selector.register(connection, selectors.EVENT_READ)
        left = num_streams
        while left:
            for key, _ in selector.select():
                data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                assert data, "the server closed a stream"
                if data.endswith(b"0\r\n\r\n"):
                    selector.unregister(key.fileobj)
                    left -= 1


def _error_s(port: int) -> float:
    """Measure the time from a request that is refused to the first byte of its response."""
    refused = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "temperature": 9}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        start = time.perf_counter()
        connection.sendall(_request(refused))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400")
        return time.perf_counter() - start
