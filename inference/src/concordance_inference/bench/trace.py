"""Traces steps, to show that the device works while mods run."""

import time
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import msgspec
from msgspec import Struct

from concordance_inference.engine.engine import Phase

#: A shorter wait for the device proves nothing: it may have been idle already. In seconds.
_CLEAR_S = 0.0002


class TracedStep(Struct, frozen=True):
    """Times of one step, in seconds."""

    launched: float  # the forward pass is queued on the device
    waited: float  # the previous step is done: the device starts this pass
    dispatched: float  # the mods have handled the tokens of the previous step
    done: float  # the device is idle


class PhaseTrace:
    """A watcher that records the phases of an engine's steps.

    Once the mods have run, it waits for the device and notes when that is idle. A traced run is
    slower than others, since the device does not overlap with what the host does next.
    """

    def __init__(self) -> None:
        """Make a trace without steps."""
        self._stamps: dict[Phase, float] = {}
        self.steps: list[TracedStep] = []

    def __call__(self, phase: Phase) -> None:
        """Record the time of a phase."""
        self._stamps[phase] = time.perf_counter()
        if phase is Phase.DISPATCHED:
            mx.synchronize()
            launched, waited, dispatched = (self._stamps[p] for p in Phase)
            self.steps.append(TracedStep(launched, waited, dispatched, time.perf_counter()))

    def busy_share(self) -> float:
        """Return the share of the mods' time during which the device was certainly busy.

        A pass that is launched before the mods start and is still running when they end keeps the
        device busy all that time.
        """
        mod_s = [step.dispatched - step.waited for step in self.steps]
        left_s = [step.done - step.dispatched for step in self.steps]
        covered = sum(t for t, left in zip(mod_s, left_s, strict=True) if left > _CLEAR_S)
        return covered / max(sum(mod_s), 1e-9)

    def write(self, path: Path) -> None:
        """Write the trace in Chrome's format, for Perfetto and `chrome://tracing`."""
        path.write_bytes(msgspec.json.encode({"traceEvents": _events(self.steps)}))


def _events(steps: Sequence[TracedStep]) -> list[dict[str, object]]:
    return [
        event
        for step in steps
        for event in (
            _span("host waits", "host", step.launched, step.waited),
            _span("mods run", "host", step.waited, step.dispatched),
            _span("forward pass", "device", step.waited, step.done),
        )
    ]


def _span(name: str, track: str, begin: float, end: float) -> dict[str, object]:
    micros = {"ts": begin * 1e6, "dur": (end - begin) * 1e6}
    return {"name": name, "ph": "X", "pid": 1, "tid": track, **micros}
