"""How figures are taken and summed up."""

import json

import pytest
from concordance_inference.bench.figures import Figure, alternate, compared, measured, write_json
from concordance_inference.bench.plot import bars


def test_a_round_does_not_count_and_the_others_alternate():
    calls = []
    values = alternate(
        [lambda: calls.append("a") or 1.0, lambda: calls.append("b") or 2.0], rounds=2
    )

    assert calls == ["a", "b"] * 3
    assert values == [[1.0, 1.0], [2.0, 2.0]]


def test_a_ratio_is_the_median_of_the_rounds():
    figure = compared("x", "m", "s", [1.0, 4.0, 9.0], [1.0, 2.0, 3.0], wanted=2.0)

    assert (figure.value, figure.baseline, figure.ratio, figure.holds) == (4.0, 2.0, 2.0, True)


def test_what_was_measured_once_has_a_ratio_if_it_has_a_baseline():
    assert measured("x", "m", "s", 3.0, baseline=2.0).ratio == 1.5
    assert measured("x", "m", "s", 3.0).ratio is None


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ({"value": 5.0}, None),
        ({"value": 5.0, "wanted": 4.0}, True),
        ({"value": 5.0, "wanted": 4.0, "at_most": True}, False),
        ({"value": 5.0, "ratio": 1.0, "wanted": 1.1}, False),
        ({"value": 5.0, "ratio": 1.0, "wanted": 1.1, "at_most": True}, True),
    ],
)
def test_a_figure_knows_whether_it_holds(fields, holds):
    assert Figure(name="x", model="m", unit="s", **fields).holds is holds


def test_figures_are_written_as_a_list(tmp_path):
    write_json([Figure(name="x", model="m", value=1.0, unit="s")], tmp_path / "out.json")
    (figure,) = json.loads((tmp_path / "out.json").read_text())

    assert {"name", "model", "value", "unit", "baseline", "ratio"} <= set(figure)


def test_ratios_are_drawn_as_bars():
    drawn = bars([measured("speed", "m", "s", 3.0, baseline=2.0), measured("bare", "m", "s", 1.0)])

    assert "m: speed" in drawn
    assert "1.5" in drawn
    assert "bare" not in drawn
