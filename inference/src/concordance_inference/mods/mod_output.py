"""Separates what mods print from the output of the program that runs them.

A line that a mod prints does not say which mod and which request it belongs to.
Inside `captured_output`, `sys.stdout` and `sys.stderr` look at each write for the current mod
(`current_mod`); writes of the program itself pass through.
"""

import logging
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, TextIO, cast

from concordance_sdk.host.mod_scope import ModScope, current_mod

Sink = Callable[[ModScope, str], None]  # receives one line, without its end

#: Maximum number of characters that one mod may print for one request.
MAX_CHARS = 64 * 1024

#: A longer line is split.
_MAX_LINE = 2000


@contextmanager
def captured_output(sink: Sink) -> Generator[None]:
    """Send lines that mods print to `sink`, until the block ends.

    Args:
        sink: Called on the thread that prints.
    """
    outputs = _Outputs(sink)
    before = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, _Stream(before[0], outputs))
    sys.stderr = cast(TextIO, _Stream(before[1], outputs))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        outputs.flush()


def log_line(scope: ModScope, line: str) -> None:
    """Log a line that a mod has printed, with control characters escaped."""
    text = "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in line)
    logger_of(scope.mod).info("%s: %s", scope.request_id, text)


def logger_of(mod: str) -> logging.Logger:
    """Return the logger of a mod: what it prints, and what it logs itself."""
    return logging.getLogger(f"concordance.mods.{mod}")


class _Outputs:
    """The output of each mod at work."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._outputs: weakref.WeakKeyDictionary[ModScope, _Output] = weakref.WeakKeyDictionary()
        self._writing = threading.local()

    def write(self, scope: ModScope, text: str) -> bool:
        """Take text that a mod prints; False for text that the sink itself prints."""
        if getattr(self._writing, "is_on", False):
            return False
        self._writing.is_on = True
        try:
            if (output := self._outputs.get(scope)) is None:
                output = self._outputs[scope] = _Output(scope.mod, scope.request_id, self._sink)
                weakref.finalize(scope, output.flush)  # a last line without an end
            output.write(text)
        finally:
            self._writing.is_on = False
        return True

    def flush(self) -> None:
        for output in list(self._outputs.values()):
            output.flush()


class _Output:
    """Splits into lines what one mod prints for one request."""

    def __init__(self, mod: str, request_id: str, sink: Sink) -> None:
        self._scope = ModScope(mod, request_id)  # a copy: the original ends with the mod's instance
        self._sink = sink
        self._line = ""
        self._num_left = MAX_CHARS

    def write(self, text: str) -> None:
        if not self._num_left:
            return
        kept = text[: self._num_left]
        self._num_left -= len(kept)
        *lines, self._line = (self._line + kept).split("\n")
        for line in lines:
            self._emit(line)
        while len(self._line) > _MAX_LINE:
            self._emit(self._line[:_MAX_LINE])
            self._line = self._line[_MAX_LINE:]
        if not self._num_left:
            self.flush()
            self._emit(
                f"(mod {self._scope.mod!r} has printed {MAX_CHARS} characters, which is the limit "
                "for one request; the rest is dropped)"
            )

    def flush(self) -> None:
        line, self._line = self._line, ""
        if line:
            self._emit(line)

    def _emit(self, line: str) -> None:
        for start in range(0, max(len(line), 1), _MAX_LINE):
            self._sink(self._scope, line[start : start + _MAX_LINE])


class _Stream:
    """A text stream that sends to mods' outputs what mods write."""

    def __init__(self, stream: TextIO, outputs: _Outputs) -> None:
        self._stream = stream
        self._outputs = outputs

    def write(self, text: str) -> int:
        scope = current_mod()
        if scope is None or not self._outputs.write(scope, text):
            return self._stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own: `isatty`, `fileno`, `encoding`, `buffer`."""
        return getattr(self._stream, name)
