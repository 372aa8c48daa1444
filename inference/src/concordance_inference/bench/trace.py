"""Shows that the device works while mods think."""

import time
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import msgspec
from msgspec import Struct

from concordance_inference.engine.phases import Phase

#: Finishing faster says nothing: the device may have been done already, in seconds.
_CLEAR_S = 0.0002


class TracedStep(Struct, frozen=True):
    """One step, in seconds since some moment."""

    launched: float  # this step's forward pass was given to the device
    waited: float  # the step before was done: from now on the device works on this one
    told: float  # the mods had seen the tokens of the step before
    done: float  # the device had nothing left to do


class PhaseTrace:
    """The phases of an engine's steps, as they were reached.

    When the mods have been told, the device is waited for, to see how much it had left to do. That
    takes the overlap with what the host does next, so a run that is traced is slower than others.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._stamps: dict[Phase, float] = {}
        self.steps: list[TracedStep] = []

    def __call__(self, phase: Phase) -> None:
        """Note that a phase was reached now."""
        self._stamps[phase] = time.perf_counter()
        if phase is Phase.TOLD:
            mx.synchronize()
            launched, waited, told = (self._stamps[p] for p in Phase)
            self.steps.append(TracedStep(launched, waited, told, time.perf_counter()))

    def busy_share(self) -> float:
        """Of the time in which mods thought, how much the device was certainly busy.

        A pass that was launched before the mods began, and was not done when they had ended, took
        the device all the while.
        """
        thinking = [step.told - step.waited for step in self.steps]
        left = [step.done - step.told for step in self.steps]
        covered = sum(t for t, rest in zip(thinking, left, strict=True) if rest > _CLEAR_S)
        return covered / max(sum(thinking), 1e-9)

    def write(self, path: Path) -> None:
        """Write it in Chrome's trace format, which Perfetto and `chrome://tracing` show."""
        path.write_bytes(msgspec.json.encode({"traceEvents": _events(self.steps)}))


def _events(steps: Sequence[TracedStep]) -> list[dict[str, object]]:
    return [
        event
        for step in steps
        for event in (
            _span("host waits", "host", step.launched, step.waited),
            _span("mods are told", "host", step.waited, step.told),
            _span("forward pass", "device", step.waited, step.done),
        )
    ]


def _span(name: str, track: str, begin: float, end: float) -> dict[str, object]:
    micros = {"ts": begin * 1e6, "dur": (end - begin) * 1e6}
    return {"name": name, "ph": "X", "pid": 1, "tid": track, **micros}
