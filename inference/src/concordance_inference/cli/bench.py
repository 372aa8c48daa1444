"""`concordance bench`."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from concordance_shared import ConcordanceError, InvalidRequestError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from concordance_inference.cli.options import Bench
from concordance_inference.models.blas import preload_blas

if TYPE_CHECKING:
    from concordance_inference.bench.drive import Subject
    from concordance_inference.bench.figures import Effort, Figure
    from concordance_inference.bench.profiling import HotFunction


def run(options: Bench) -> None:
    """Measure, print each figure as it comes and then a table, and write what is requested."""
    preload_blas()
    try:
        from concordance_inference.bench import suite
        from concordance_inference.bench.figures import read_json, with_before, write_json
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            f"the benchmark needs {exc.name}; install it with "
            "`pip install 'concordance-inference[bench]'`"
        ) from exc
    _check_groups(options.only, suite.names())
    _check_folders(options.json, options.trace)
    console = Console(highlight=False)
    subjects: list[tuple[Subject, Effort]] = []
    profiled = [name for name in options.only if name in suite.PROFILES]
    if suite.needs_model(options.only) or options.trace or (options.profile and not profiled):
        subjects = _subjects(options)
    earlier = read_json(options.before) if options.before else []
    figures: list[Figure] = []
    with Console(stderr=True).status("measuring"):
        for figure in suite.figures(subjects, options.only):
            figures.append(with_before(figure, earlier))
            console.print(f"{figure.model:24}{figure.name}: {_value(figure.value, figure.unit)}")
    console.print(_table(figures))
    if options.json:
        write_json(figures, options.json)
    if options.plot:
        from concordance_inference.bench.figures import bars

        console.print(Text.from_ansi(bars(figures)))
    if options.trace:
        from concordance_inference.bench.cases.overlap import traced

        traced(*subjects[-1]).write(options.trace)
    if options.profile:
        if subjects:
            _print_profile(console, *subjects[0])
        for name in profiled:
            title = f"{name}: where its tokens spend their time"
            console.print(_profile_table(title, suite.PROFILES[name]()))


class MissingExtraError(ConcordanceError):
    """A package that only the benchmark needs is not installed."""


def _check_folders(*files: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is measured."""
    for file in files:
        if file and not file.absolute().parent.is_dir():
            raise InvalidRequestError(f"{file}: there is no folder {file.absolute().parent}")


def _check_groups(only: Sequence[str], known: Sequence[str]) -> None:
    for name in only:
        if name not in known:
            raise InvalidRequestError(
                f"--only {name}: there is no such group of figures; known: {', '.join(known)}"
            )


def _subjects(options: Bench) -> "list[tuple[Subject, Effort]]":
    from concordance_inference.bench.figures import Effort
    from concordance_inference.bench.subjects import real_subject, tiny_subject

    real = real_subject(options.model, options.model_options)
    measured = [(tiny_subject(real), 8 * options.tokens)]
    if not options.quick:
        measured.append((real, options.tokens))
    return [(subject, Effort(rounds=options.rounds, decode_tokens=n)) for subject, n in measured]


def _print_profile(console: Console, subject: "Subject", effort: "Effort") -> None:
    """Print the twenty functions that take most of a decoding step, from a separate run."""
    from concordance_inference.bench.profiling import hottest

    title = f"{subject.name}: where {effort.decode_tokens} tokens spend their time"
    console.print(_profile_table(title, hottest(subject, effort.decode_tokens)))


def _profile_table(title: str, functions: "Sequence[HotFunction]") -> Table:
    table = Table(title=title)
    for column, side in (("function", "left"), ("calls", "right"), ("ms", "right")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for hot in functions:
        table.add_row(hot.where, f"{hot.calls:,}", f"{1e3 * hot.seconds:.1f}")
    return table


def _table(figures: Sequence["Figure"]) -> Table:
    table = Table(title=f"{platform.machine()} {platform.system()}, medians of alternating rounds")
    has_before = any(figure.before is not None for figure in figures)
    columns = ("value", "before") if has_before else ("value",)
    for column in ("model", "figure", *columns, "baseline", "ratio", "target"):
        table.add_column(column, justify="left" if column in ("model", "figure") else "right")
    for figure in figures:
        unit = figure.unit
        before = (_optional(figure.before, unit),) if has_before else ()
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f} x"
        table.add_row(
            figure.model,
            figure.name,
            _value(figure.value, unit),
            *before,
            _optional(figure.baseline, unit),
            ratio,
            _target(figure),
            style={True: "green", False: "red", None: None}[figure.meets_target],
        )
    return table


def _optional(value: float | None, unit: str) -> str:
    return "" if value is None else _value(value, unit)


def _value(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:,.1f} {unit}"


def _target(figure: "Figure") -> str:
    if figure.target is None:
        return figure.missing or ""
    sign = "<=" if figure.at_most else ">="
    number = f"{figure.target:g}" if figure.ratio is None else f"{figure.target:.2f} x"
    return f"{sign} {number}"
