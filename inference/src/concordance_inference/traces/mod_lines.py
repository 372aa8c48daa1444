"""Brings what mods print and log into the traces of their requests."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

from concordance_sdk.host.mod_scope import ModScope, current_mod

from concordance_inference.traces.hub import TraceHub

#: The logger of all mods, and the function that logs what they print.
_MODS = "concordance.mods"
_PRINTS = "log_line"

Sink = Callable[[ModScope, str], None]


class ModLines(logging.Handler):
    """Records what mods log themselves; what they print comes through `sink`."""

    def __init__(self, hub: TraceHub) -> None:
        """Record into the traces of a hub."""
        super().__init__()
        self._hub = hub

    def emit(self, record: logging.LogRecord) -> None:
        """Record a line, if a mod of a traced request logs it."""
        scope = current_mod()
        if scope is not None and record.funcName != _PRINTS:
            self._hub.log(scope, record.getMessage(), record.levelname.lower())

    def sink(self, then: Sink) -> Sink:
        """Return a sink of `captured_output` that records a line, and passes it on."""

        def record(scope: ModScope, line: str) -> None:
            self._hub.log(scope, line)
            then(scope, line)

        return record


@contextmanager
def logged_lines(lines: ModLines) -> Generator[None]:
    """Record what mods log, until the block ends."""
    logger = logging.getLogger(_MODS)
    logger.addHandler(lines)
    try:
        yield
    finally:
        logger.removeHandler(lines)
