"""The ratios of a run as bars, for the terminal."""

from collections.abc import Sequence

import plotext

from concordance_inference.bench.figures import Figure

_WIDTH = 100
_LABEL = 60  # characters of a figure's name


def bars(figures: Sequence[Figure]) -> str:
    """The figures that have a ratio, as bars: those of one model and unit beside each other."""
    drawn = [figure for figure in figures if figure.ratio is not None]
    labels = [f"{figure.model}: {figure.name}"[:_LABEL] for figure in drawn]
    ratios = [round(figure.ratio or 0.0, 2) for figure in drawn]
    plotext.clear_figure()
    plotext.simple_bar(labels, ratios, width=_WIDTH, title="against the baseline")
    return plotext.build()
