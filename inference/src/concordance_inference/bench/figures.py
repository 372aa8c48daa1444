"""What a benchmark says, and how a run is summed up."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec


class Figure(msgspec.Struct, kw_only=True):
    """One measured figure."""

    name: str
    model: str
    value: float
    unit: str
    baseline: float | None = None  # what it is compared with, in the same unit
    ratio: float | None = None  # the median over the rounds, each round compared with itself
    wanted: float | None = None  # what the ratio, or the value where there is none, must reach
    at_most: bool = False  # the wanted one is an upper bound

    @property
    def holds(self) -> bool | None:
        """Whether it reaches what is wanted; `None` where nothing is."""
        if self.wanted is None:
            return None
        reached = self.value if self.ratio is None else self.ratio
        return reached <= self.wanted if self.at_most else reached >= self.wanted


Measure = Callable[[], float]


def alternate(measures: Sequence[Measure], *, rounds: int) -> list[list[float]]:
    """Measure in turn, round after round, so that a slow spell of the machine hits all alike.

    One more round comes first and does not count.

    Returns:
        For each measure, its values in order.
    """
    values: list[list[float]] = [[] for _ in measures]
    for i in range(rounds + 1):
        for measure, taken in zip(measures, values, strict=True):
            value = measure()
            if i:
                taken.append(value)
    return values


def compared(
    name: str,
    model: str,
    unit: str,
    values: Sequence[float],
    baseline: Sequence[float],
    *,
    wanted: float | None = None,
    at_most: bool = False,
) -> Figure:
    """A figure against its baseline: the median of the ratios of each round."""
    ratios = [value / base for value, base in zip(values, baseline, strict=True)]
    return Figure(
        name=name,
        model=model,
        unit=unit,
        value=statistics.median(values),
        baseline=statistics.median(baseline),
        ratio=statistics.median(ratios),
        wanted=wanted,
        at_most=at_most,
    )


def measured(
    name: str,
    model: str,
    unit: str,
    value: float,
    *,
    baseline: float | None = None,
    wanted: float | None = None,
    at_most: bool = False,
) -> Figure:
    """A figure that was measured once, against another, if there is one."""
    ratio = None if baseline is None else value / baseline
    return Figure(
        name=name,
        model=model,
        value=value,
        unit=unit,
        baseline=baseline,
        ratio=ratio,
        wanted=wanted,
        at_most=at_most,
    )


def write_json(figures: Sequence[Figure], path: Path) -> None:
    """Write figures as a list of objects."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))
