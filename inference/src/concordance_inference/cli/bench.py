"""`concordance bench`."""

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from concordance_inference.models.blas import preload_blas

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from concordance_inference.bench.figures import Figure


def run(model: str | None, *, rounds: int, tokens: int, quick: bool, json: Path | None) -> None:
    """Measure, print each figure as it comes and a table of all, and write them if asked."""
    preload_blas()
    from concordance_inference.bench.figures import write_json

    console = Console(highlight=False)
    figures: list[Figure] = []
    with Console(stderr=True).status("measuring"):
        for figure in _figures(model, rounds=rounds, tokens=tokens, quick=quick):
            figures.append(figure)
            console.print(f"{figure.model:24}{figure.name}: {_value(figure.value, figure.unit)}")
    console.print(_table(figures))
    if json:
        write_json(figures, json)


def _figures(model: str | None, *, rounds: int, tokens: int, quick: bool) -> "Iterator[Figure]":
    from concordance_inference.bench import cases, subjects

    yield from cases.start_figures()
    real = subjects.real_subject(model)
    tiny = subjects.tiny_subject(real)
    for subject, num_tokens in ((tiny, 8 * tokens), *(() if quick else ((real, tokens),))):
        effort = cases.Effort(rounds=rounds, decode_tokens=num_tokens)
        yield from cases.decode_figures(subject, effort)
        yield from cases.prefill_figures(subject, effort)
        yield from cases.steering_figures(subject, effort)


def _table(figures: "Sequence[Figure]") -> Table:
    table = Table(title=f"{platform.machine()} {platform.system()}, medians of alternating rounds")
    for column in ("model", "figure", "value", "baseline", "ratio", "wanted"):
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
            _wanted(figure),
            style={True: "green", False: "red", None: None}[figure.holds],
        )
    return table


def _value(value: float, unit: str) -> str:
    return f"{value:,.1f} {unit}"


def _wanted(figure: "Figure") -> str:
    if figure.wanted is None:
        return ""
    sign = "<=" if figure.at_most else ">="
    number = f"{figure.wanted:g}" if figure.ratio is None else f"{figure.wanted:.2f} x"
    return f"{sign} {number}"
