"""The longest pause of a stream while another client sends a hostile request to the server."""

import http.client
import itertools
import json
import operator
import re
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from concordance_inference.bench.figures import Figure, measured
from concordance_inference.bench.hostile import bodies
from concordance_inference.bench.oversized import requests

#: Target of the longest pause that a request causes, in milliseconds.
_TARGET_MS = 250.0

#: Time for which the stream is watched after the response, in seconds; the second is for each of
#: the requests that are made for every field.
_AFTER_S, _SHORTLY_AFTER_S = 0.3, 0.1

_MAX_TOKENS = 4000


_CHAT = "/v1/chat/completions"


def figures() -> Iterator[Figure]:
    """Measure the longest gap between two tokens of a stream, for each hostile request.

    Of the requests that are made for every field, only the worst of each path is a figure.
    """
    with _server() as address, _Stream(address) as stream:
        model = stream.model
        for name, body in bodies(model):
            pause, usual, status, seconds = _pause(stream, address, _CHAT, body, _AFTER_S)
            about = f"{status or 'no response'}, {seconds:.1f} s, usually {usual * 1e3:.0f} ms"
            label = f"pause: {name} ({about})"
            yield measured(label, model, "ms", pause * 1e3, target=_TARGET_MS, at_most=True)
        yield from _of_every_field(stream, address)


def _of_every_field(stream: "_Stream", address: tuple[str, int]) -> Iterator[Figure]:
    """Measure the worst request of each path among those with one oversized field."""
    model = stream.model
    generated = requests(stream.get("/openapi.json"), model)
    for path, group in itertools.groupby(generated, key=operator.itemgetter(1)):
        pauses = [
            (_pause(stream, address, path, body, _SHORTLY_AFTER_S), name) for name, _, body in group
        ]
        (pause, usual, status, seconds), name = max(pauses)
        about = f"{status or 'no response'}, {seconds:.1f} s, usually {usual * 1e3:.0f} ms"
        label = f"pause: worst of {len(pauses)} of {name} ({about})"
        yield measured(label, model, "ms", pause * 1e3, target=_TARGET_MS, at_most=True)


def _pause(
    stream: "_Stream", address: tuple[str, int], path: str, body: bytes, after_s: float
) -> tuple[float, float, int | None, float]:
    """Send a request; return the longest and the median gap, the HTTP status and the seconds.

    The median is the time of a forward pass while the server handles the request: no pause can be
    shorter.
    """
    stream.gaps()
    start = time.monotonic()
    status = _post(address, path, body)
    seconds = time.monotonic() - start
    time.sleep(after_s)
    gaps = stream.gaps()
    return max(gaps, default=0.0), median(gaps or [0.0]), status, seconds


def _post(address: tuple[str, int], path: str, body: bytes) -> int | None:
    """Return the HTTP status; `None` after a timeout."""
    connection = http.client.HTTPConnection(*address, timeout=120)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
    except TimeoutError:
        return None
    except OSError:  # the server rejects the body before it has received all of it
        return 413
    else:
        return response.status
    finally:
        connection.close()


class _Stream:
    """An endless stream of tokens, and the gaps between them."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._is_over = False
        self._gaps: list[float] = []
        self._last: float | None = None  # when the last token came; `None` between two streams
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def model(self) -> str:
        """The id of the model that is served."""
        return str(self.get("/v1/models")["data"][0]["id"])

    def get(self, path: str) -> Any:
        """Return what the server has at a path."""
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())

    def __enter__(self) -> "_Stream":
        self._thread.start()
        self._has_begun.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()

    def gaps(self) -> list[float]:
        """Return the gaps since the last call in seconds, the one that is still open included."""
        gaps, self._gaps, last = self._gaps, [], self._last
        return gaps if last is None else [*gaps, time.monotonic() - last]

    def _run(self) -> None:
        messages = [{"role": "user", "content": "Count to ten thousand, in words."}]
        body = {
            "model": self.model,
            "messages": messages,
            "stream": True,
            "max_tokens": _MAX_TOKENS,
            "temperature": 1,
        }
        while not self._is_over:
            self._read(json.dumps(body).encode())

    def _read(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=120)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", _CHAT, body, headers)
        response = connection.getresponse()
        while not self._is_over and (line := response.readline()):
            if line.startswith(b"data: {"):
                now = time.monotonic()
                if self._last is not None:
                    self._gaps.append(now - self._last)
                self._last = now
                self._has_begun.set()
        self._last = None  # the completion has ended: the time to the next request is no pause
        connection.close()


@contextmanager
def _server() -> Generator[tuple[str, int]]:
    """Serve the embedded model in a process of its own."""
    command = [sys.executable, "-m", "concordance_inference", "serve", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert process.stderr is not None
        url = next(m[1] for line in process.stderr if (m := re.search(r"on (http://\S+)", line)))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        parts = urlsplit(url)
        yield parts.hostname or "", parts.port or 0
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
