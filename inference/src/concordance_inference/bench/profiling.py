"""Profiles decoding by function."""

import cProfile
import pstats
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request, silent


class HotFunction(Struct, frozen=True, kw_only=True):
    """A function and its time in a run."""

    where: str
    calls: int
    seconds: float  # its own, without the functions that it calls


def hottest(subject: Subject, num_tokens: int, *, count: int = 20) -> list[HotFunction]:
    """Profile one stream with a mod on all events; return the functions with the most time first.

    Not part of any figure, since the profiler itself takes time.
    """
    engine, prompt = subject.engine(), subject.prompt(24)
    drive.run(engine, request(prompt, 8, silent))
    return hottest_of(lambda: drive.run(engine, request(prompt, num_tokens, silent)), count=count)


def hottest_of(run: Callable[[], object], *, count: int = 20) -> list[HotFunction]:
    """Profile a call; return the functions with the most time first."""
    profiler = cProfile.Profile()
    profiler.runcall(run)
    rows = [
        HotFunction(where=_where(*function), calls=calls, seconds=seconds)
        for function, (_, calls, seconds, _, _) in _stats(profiler).items()
    ]
    return sorted(rows, key=lambda hot: -hot.seconds)[:count]


def _stats(
    profiler: cProfile.Profile,
) -> dict[tuple[str, int, str], tuple[int, int, float, float, object]]:
    return pstats.Stats(profiler).stats  # type: ignore[attr-defined]  # not in the stubs


def _where(file: str, line: int, name: str) -> str:
    """Return `request/row.py:12 take_sampled`, or the name of a builtin."""
    if not line:
        return name
    return f"{'/'.join(Path(file).parts[-2:])}:{line} {name}"
