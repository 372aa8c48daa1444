"""`concordance bench`."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from concordance_shared import ConcordanceError, InvalidRequestError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from concordance_inference.models.blas import preload_blas
from concordance_inference.models.options import ModelOptions

if TYPE_CHECKING:
    from concordance_inference.bench.drive import Subject
    from concordance_inference.bench.figures import Effort, Figure


def run(
    model: str | None,
    *,
    options: ModelOptions,
    only: Sequence[str],
    rounds: int,
    tokens: int,
    quick: bool,
    json: Path | None,
    plot: bool,
    trace: Path | None,
    profile: bool,
) -> None:
    """Measure, print each figure as it comes and a table of all, and write them if asked.

    Args:
        model: The real model; `None` for the embedded default.
        options: How to load it.
        only: The groups of figures; all if empty.
        rounds: How often each figure is measured.
        tokens: How many tokens a decoding round has on the real model.
        quick: Whether to leave the real model out.
        json: Where to write the figures.
        plot: Whether to draw the ratios.
        trace: Where to write a trace of the loop, in Chrome's format.
        profile: Whether to tell where the time of a step goes.
    """
    preload_blas()
    try:
        from concordance_inference.bench import suite
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            f"the benchmark needs {exc.name}; install it with "
            "`pip install 'concordance-inference[bench]'`"
        ) from exc
    _check_groups(only, suite.names())
    _check_folders(json, trace)
    console = Console(highlight=False)
    subjects: list[tuple[Subject, Effort]] = []
    if suite.needs_model(only) or trace or profile:
        subjects = _subjects(model, options, rounds=rounds, tokens=tokens, quick=quick)
    figures: list[Figure] = []
    with Console(stderr=True).status("measuring"):
        for figure in suite.figures(subjects, only):
            figures.append(figure)
            console.print(f"{figure.model:24}{figure.name}: {_value(figure.value, figure.unit)}")
    console.print(_table(figures))
    if json:
        from concordance_inference.bench.figures import write_json

        write_json(figures, json)
    if plot:
        from concordance_inference.bench.figures import bars

        console.print(Text.from_ansi(bars(figures)))
    if trace:
        from concordance_inference.bench.cases.overlap import traced

        traced(*subjects[-1]).write(trace)
    if profile:
        _print_profile(console, *subjects[0])


class MissingExtraError(ConcordanceError):
    """A package that only the benchmark needs is not installed."""


def _check_folders(*files: Path | None) -> None:
    """Refuse a file that could not be written, before anything is measured."""
    for file in files:
        if file and not file.absolute().parent.is_dir():
            raise InvalidRequestError(f"{file}: there is no folder {file.absolute().parent}")


def _check_groups(only: Sequence[str], known: Sequence[str]) -> None:
    for name in only:
        if name not in known:
            raise InvalidRequestError(
                f"--only {name}: there is no such group of figures; known: {', '.join(known)}"
            )


def _subjects(
    model: str | None, options: ModelOptions, *, rounds: int, tokens: int, quick: bool
) -> "list[tuple[Subject, Effort]]":
    from concordance_inference.bench.figures import Effort
    from concordance_inference.bench.subjects import real_subject, tiny_subject

    real = real_subject(model, options)
    measured = [(tiny_subject(real), 8 * tokens), *([] if quick else [(real, tokens)])]
    return [(subject, Effort(rounds=rounds, decode_tokens=n)) for subject, n in measured]


def _print_profile(console: Console, subject: "Subject", effort: "Effort") -> None:
    """The twenty functions that take the most of a decoding step, from a run of its own."""
    from concordance_inference.bench.profiling import hottest

    table = Table(title=f"{subject.name}: where {effort.decode_tokens} tokens spend their time")
    for column, side in (("function", "left"), ("calls", "right"), ("ms", "right")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for hot in hottest(subject, effort.decode_tokens):
        table.add_row(hot.where, f"{hot.calls:,}", f"{1e3 * hot.seconds:.1f}")
    console.print(table)


def _table(figures: Sequence["Figure"]) -> Table:
    table = Table(title=f"{platform.machine()} {platform.system()}, medians of alternating rounds")
    for column in ("model", "figure", "value", "baseline", "ratio", "target"):
        table.add_column(column, justify="left" if column in ("model", "figure") else "right")
    for figure in figures:
        baseline = "" if figure.baseline is None else _value(figure.baseline, figure.unit)
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f} x"
        table.add_row(
            figure.model,
            figure.name,
            _value(figure.value, figure.unit),
            baseline,
            ratio,
            _target(figure),
            style={True: "green", False: "red", None: None}[figure.meets_target],
        )
    return table


def _value(value: float, unit: str) -> str:
    return f"{value:,.1f} {unit}"


def _target(figure: "Figure") -> str:
    if figure.target is None:
        return ""
    sign = "<=" if figure.at_most else ">="
    number = f"{figure.target:g}" if figure.ratio is None else f"{figure.target:.2f} x"
    return f"{sign} {number}"
