"""The requests of an engine that have not ended, each of which ends once."""

import itertools
import threading

from concordance_shared import EngineError

from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.engine.scheduling.admission import own_copy
from concordance_inference.generation import Completed, Failed, Update


class Unfinished:
    """Requests by number. Used by any thread."""

    def __init__(self) -> None:
        """Start without requests."""
        self.lock = threading.Lock()
        self._emits: dict[int, Emit] = {}
        self._keys = itertools.count()

    def __len__(self) -> int:
        """Number of requests."""
        return len(self._emits)

    def add(self, emit: Emit) -> Emit:
        """Count a request until it ends. The caller holds `lock`.

        Returns:
            `emit`, which drops what comes after the end.
        """
        key = next(self._keys)
        self._emits[key] = emit

        def emit_until_end(update: Update) -> None:
            with self.lock:
                if key not in self._emits:
                    return  # `end_all` has ended it
                if isinstance(update, Completed | Failed):
                    del self._emits[key]
            emit(update)

        return emit_until_end

    def end_all(self, error: EngineError) -> None:
        """End every request with an error."""
        with self.lock:
            emits = list(self._emits.values())
            self._emits.clear()
        for emit in emits:
            emit(Failed(error=own_copy(error)))
