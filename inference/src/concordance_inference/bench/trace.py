"""Shows that the device works while mods think."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from concordance_inference.engine.phases import Phase

#: A wait that is shorter says nothing: the tokens may have been there already, in seconds.
_CLEAR_WAIT_S = 0.0002


class TracedStep(Struct, frozen=True):
    """One step, in seconds since some moment."""

    launched: float  # this step's forward pass was given to the device
    waited: float  # the step before was done: from now on the device works on this one
    told: float  # the mods had seen the tokens of the step before


class PhaseTrace:
    """The phases of an engine's steps, as they were reached."""

    def __init__(self) -> None:
        """Begin with none."""
        self._stamps: dict[Phase, float] = {}
        self.steps: list[TracedStep] = []

    def __call__(self, phase: Phase) -> None:
        """Note that a phase was reached now."""
        self._stamps[phase] = time.perf_counter()
        if phase is Phase.TOLD:
            self.steps.append(TracedStep(*(self._stamps[p] for p in Phase)))

    def busy_share(self) -> float:
        """Of the time in which mods thought, how much the device was certainly busy.

        A pass that was launched before the mods began and was still waited for after they had
        ended took the device all the while.
        """
        thinking = [step.told - step.waited for step in self.steps[:-1]]
        waits = [step.waited - step.launched for step in self.steps[1:]]
        pairs = zip(thinking, waits, strict=True)
        covered = sum(thought for thought, wait in pairs if wait > _CLEAR_WAIT_S)
        return covered / max(sum(thinking), 1e-9)

    def write(self, path: Path) -> None:
        """Write it in Chrome's trace format, which Perfetto and `chrome://tracing` show."""
        path.write_bytes(msgspec.json.encode({"traceEvents": _events(self.steps)}))


def _events(steps: Sequence[TracedStep]) -> list[dict[str, object]]:
    events: list[dict[str, object]] = []
    for i, step in enumerate(steps):
        events.append(_span("mods are told", "host", step.waited, step.told))
        if i + 1 < len(steps):
            following = steps[i + 1]
            events.append(_span("forward pass", "device", step.waited, following.waited))
            events.append(_span("host waits", "host", following.launched, following.waited))
    return events


def _span(name: str, track: str, begin: float, end: float) -> dict[str, object]:
    micros = {"ts": begin * 1e6, "dur": (end - begin) * 1e6}
    return {"name": name, "ph": "X", "pid": 1, "tid": track, **micros}
