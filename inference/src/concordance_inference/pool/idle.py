"""Unloads the models that no request has used for a time, from a thread."""

import threading
from collections.abc import Generator
from contextlib import contextmanager

from concordance_inference.pool.pool import ModelPool

#: Seconds between two checks are a fraction of the time, within these bounds.
_MIN_S, _MAX_S = 0.2, 10.0


@contextmanager
def unloading_idle(pool: ModelPool, idle_s: float | None) -> Generator[None]:
    """Unload idle models in the block.

    Args:
        pool: The models.
        idle_s: Seconds without a request after which a model is unloaded; `None`: never.
    """
    if idle_s is None:
        yield
        return
    is_over = threading.Event()
    period = min(max(idle_s / 10, _MIN_S), _MAX_S)

    def watch() -> None:
        while not is_over.wait(period):
            pool.unload_idle(idle_s)

    thread = threading.Thread(target=watch, name="idle models", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
