"""Mods that take their time: what is left of the speed, and what the device does meanwhile."""

import time
from collections.abc import Iterator

from concordance_sdk import Actions, mod

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.effort import Effort
from concordance_inference.bench.figures import Figure, alternate, compared, measured
from concordance_inference.bench.trace import PhaseTrace

#: How long a mod thinks at each event, in milliseconds.
_THINKING_MS = (0, 1, 5)


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """The rates with mods on all events, against without, and the share of the device's time."""
    prompt, n, engine = subject.prompt(24), effort.decode_tokens, subject.engine()
    targets: list[list[object]] = [[], *([_thinks(ms)] for ms in _THINKING_MS)]
    plain, *thinking = alternate(
        [
            lambda mods=mods: drive.decode_rate(engine, request(prompt, n, *mods))
            for mods in targets
        ],
        rounds=effort.rounds,
    )
    for ms, rates in zip(_THINKING_MS, thinking, strict=True):
        yield compared(
            f"decode, a mod that thinks {ms} ms at each of three events a token, against without",
            subject.name,
            "tokens/s",
            rates,
            plain,
        )
    trace = traced(subject, effort)
    yield measured(
        "device busy while a mod thinks 1 ms at each event",
        subject.name,
        "%",
        100 * trace.busy_share(),
    )


def traced(subject: Subject, effort: Effort) -> PhaseTrace:
    """A run with a mod that thinks a millisecond at each event."""
    engine, trace = subject.engine(), PhaseTrace()
    engine.watcher = trace
    drive.run(engine, request(subject.prompt(24), effort.decode_tokens, _thinks(1)))
    return trace


def _thinks(ms: float) -> object:
    """A mod that holds the interpreter for so long at every event, and answers nothing."""

    @mod(name="thinks", max_backtrack=0)
    def thinks(event: object, actions: Actions) -> None:
        del event, actions
        until = time.perf_counter() + ms / 1e3
        while time.perf_counter() < until:
            pass

    return thinks
