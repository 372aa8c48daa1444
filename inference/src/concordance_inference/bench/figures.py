"""How much is measured, and the figures that come out."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import plotext
from concordance_shared import InvalidRequestError

#: Width of the plot, and of a figure's label in it, in characters.
_PLOT_WIDTH = 100
_LABEL_WIDTH = 60


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How much to measure."""

    rounds: int  # alternating rounds, of which figures are medians
    decode_tokens: int  # of a decoding round
    prefill_tokens: int = 256
    contexts: tuple[int, ...] = (128, 2000, 8000)  # tokens
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)  # rows
    long_prompt: int = 2000  # tokens of the prompt that is admitted while other rows decode
    short_requests: int = 2000


class Figure(msgspec.Struct, kw_only=True):
    """One measured figure."""

    name: str
    model: str
    value: float | None  # `None` if it cannot be measured here
    unit: str
    baseline: float | None = None  # in the same unit
    ratio: float | None = None  # value / baseline, the median of the ratios of each round
    target: float | None = None  # of the ratio, or of the value if there is no ratio
    at_most: bool = False  # the target is an upper bound
    missing: str | None = None  # why there is no value
    before: float | None = None  # the value of an earlier run

    @property
    def meets_target(self) -> bool | None:
        """True if the target is met; `None` if there is none."""
        if self.target is None:
            return None
        reached = self.value if self.ratio is None else self.ratio
        if reached is None:
            return None
        return reached <= self.target if self.at_most else reached >= self.target


Measure = Callable[[], float]


def alternate(measures: Sequence[Measure], *, rounds: int) -> list[list[float]]:
    """Take each measure once a round, so that a slow spell of the machine affects all of them.

    A warm-up round comes first and is discarded.

    Returns:
        For each measure, its values in order.
    """
    values: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds + 1):
        for measure, of_measure in zip(measures, values, strict=True):
            of_measure.append(measure())
    return [of_measure[1:] for of_measure in values]


def compared(
    name: str,
    model: str,
    unit: str,
    values: Sequence[float],
    baseline: Sequence[float],
    *,
    target: float | None = None,
    at_most: bool = False,
) -> Figure:
    """Sum up rounds of a measure and its baseline."""
    ratios = [value / base for value, base in zip(values, baseline, strict=True)]
    return Figure(
        name=name,
        model=model,
        unit=unit,
        value=statistics.median(values),
        baseline=statistics.median(baseline),
        ratio=statistics.median(ratios),
        target=target,
        at_most=at_most,
    )


def measured(
    name: str,
    model: str,
    unit: str,
    value: float,
    *,
    baseline: float | None = None,
    target: float | None = None,
    at_most: bool = False,
) -> Figure:
    """Return a figure of one value, against one of a baseline if there is any."""
    ratio = None if baseline is None else value / baseline
    return Figure(
        name=name,
        model=model,
        value=value,
        unit=unit,
        baseline=baseline,
        ratio=ratio,
        target=target,
        at_most=at_most,
    )


def unmeasured(name: str, model: str, unit: str, why: str) -> Figure:
    """Return a figure without a value.

    Args:
        name: The figure.
        model: What was to be measured.
        unit: Of the value.
        why: Why it cannot be measured here.
    """
    return Figure(name=name, model=model, value=None, unit=unit, missing=why)


def read_json(path: Path) -> list[Figure]:
    """Read the figures that `write_json` wrote.

    Raises:
        InvalidRequestError: The file cannot be read, or has something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Figure])
    except (OSError, msgspec.MsgspecError) as exc:
        raise InvalidRequestError(f"{path}: it has no figures of a benchmark: {exc}") from exc


def with_before(figure: Figure, earlier: Sequence[Figure]) -> Figure:
    """Return a figure with the value that an earlier run had of it, if any."""
    same = (one.value for one in earlier if (one.name, one.model) == (figure.name, figure.model))
    return msgspec.structs.replace(figure, before=next(same, None))


def write_json(figures: Sequence[Figure], path: Path) -> None:
    """Write figures as a JSON array of objects."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))


def bars(figures: Sequence[Figure]) -> str:
    """Draw the ratios as bars for the terminal; figures without a ratio are left out."""
    drawn = [figure for figure in figures if figure.ratio is not None]
    labels = [f"{figure.model}: {figure.name}"[:_LABEL_WIDTH] for figure in drawn]
    ratios = [round(figure.ratio or 0.0, 2) for figure in drawn]
    plotext.clear_figure()
    plotext.simple_bar(labels, ratios, width=_PLOT_WIDTH, title="against the baseline")
    return plotext.build()
