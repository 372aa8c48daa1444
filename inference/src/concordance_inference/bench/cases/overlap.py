"""Slow mods: their effect on the decode rate, and how busy the device is meanwhile."""

import time
from collections.abc import Iterator

from concordance_sdk import Actions, mod

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.figures import Effort, Figure, alternate, compared, measured
from concordance_inference.bench.trace import PhaseTrace

#: CPU time of a mod at each event, in milliseconds.
_MOD_MS = (0, 1, 5)


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Measure decode rates with a slow mod on all events, and the share of busy device time."""
    prompt, n, engine = subject.prompt(24), effort.decode_tokens, subject.engine()
    targets: list[list[object]] = [[], *([_slow_mod(ms)] for ms in _MOD_MS)]
    plain, *slow = alternate(
        [
            lambda mods=mods: drive.decode_rate(engine, request(prompt, n, *mods))
            for mods in targets
        ],
        rounds=effort.rounds,
    )
    for ms, rates in zip(_MOD_MS, slow, strict=True):
        yield compared(
            f"decode, a mod of {ms} ms at each of three events a token, against without",
            subject.name,
            "tokens/s",
            rates,
            plain,
        )
    trace = traced(subject, effort)
    yield measured(
        "device busy during a mod of 1 ms at each event",
        subject.name,
        "%",
        100 * trace.busy_share(),
    )


def traced(subject: Subject, effort: Effort) -> PhaseTrace:
    """Trace a request whose mod takes a millisecond at each event."""
    engine, trace = subject.engine(), PhaseTrace()
    engine.watcher = trace
    drive.run(engine, request(subject.prompt(24), effort.decode_tokens, _slow_mod(1)))
    return trace


def _slow_mod(ms: float) -> object:
    """Build a mod that holds the interpreter for `ms` at every event, without an action."""

    @mod(name="slow", max_backtrack=0, registered=False)
    def slow(event: object, actions: Actions) -> None:
        del event, actions
        until = time.perf_counter() + ms / 1e3
        while time.perf_counter() < until:
            pass

    return slow
