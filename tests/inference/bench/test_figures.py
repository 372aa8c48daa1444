"""Rounds, ratios, targets and the plot of figures."""

import json

import pytest
from concordance_inference.bench.figures import (
    Figure,
    alternate,
    bars,
    compared,
    measured,
    read_json,
    unmeasured,
    with_before,
    write_json,
)
from concordance_shared import InvalidRequestError


def test_measures_alternate_and_the_warm_up_round_is_discarded():
    calls = []

    def measure(name):
        calls.append(name)
        return len(calls)

    values = alternate([lambda: measure("a"), lambda: measure("b")], rounds=2)

    assert calls == ["a", "b"] * 3
    assert values == [[3, 5], [4, 6]]


def test_the_ratio_is_the_median_of_the_ratios_of_rounds():
    figure = compared("x", "m", "s", [1.0, 4.0, 9.0], [1.0, 2.0, 3.0], target=2.0)

    assert (figure.value, figure.baseline, figure.ratio, figure.meets_target) == (
        4.0,
        2.0,
        2.0,
        True,
    )


def test_a_single_measurement_has_a_ratio_if_it_has_a_baseline():
    assert measured("x", "m", "s", 3.0, baseline=2.0).ratio == 1.5
    assert measured("x", "m", "s", 3.0).ratio is None


@pytest.mark.parametrize(
    ("fields", "meets_target"),
    [
        ({"value": 5.0}, None),
        ({"value": 5.0, "target": 4.0}, True),
        ({"value": 5.0, "target": 4.0, "at_most": True}, False),
        ({"value": 5.0, "ratio": 1.0, "target": 1.1}, False),
        ({"value": 5.0, "ratio": 1.0, "target": 1.1, "at_most": True}, True),
    ],
)
def test_a_figure_meets_its_target(fields, meets_target):
    assert Figure(name="x", model="m", unit="s", **fields).meets_target is meets_target


def test_figures_are_written_as_a_json_array(tmp_path):
    write_json([Figure(name="x", model="m", value=1.0, unit="s")], tmp_path / "out.json")
    (figure,) = json.loads((tmp_path / "out.json").read_text())

    assert {"name", "model", "value", "unit", "baseline", "ratio"} <= set(figure)


def test_ratios_are_drawn_as_bars():
    drawn = bars([measured("speed", "m", "s", 3.0, baseline=2.0), measured("bare", "m", "s", 1.0)])

    assert "m: speed" in drawn
    assert "1.5" in drawn
    assert "bare" not in drawn


def test_a_figure_that_cannot_be_measured_says_why():
    figure = unmeasured("x", "m", "%", "there is no GPU")

    assert (figure.value, figure.missing, figure.meets_target) == (None, "there is no GPU", None)


def test_figures_of_an_earlier_run_are_shown_beside_those_of_this_one(tmp_path):
    file = tmp_path / "before.json"
    write_json([measured("x", "m", "s", 3.0), unmeasured("y", "m", "s", "why")], file)
    earlier = read_json(file)

    assert with_before(measured("x", "m", "s", 2.0), earlier).before == 3.0
    assert with_before(measured("x", "other", "s", 2.0), earlier).before is None
    assert with_before(measured("y", "m", "s", 2.0), earlier).before is None


@pytest.mark.parametrize("content", [None, "no json", '[{"name": 1}]'])
def test_a_file_without_figures_is_refused(tmp_path, content):
    file = tmp_path / "before.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(InvalidRequestError, match=r"before\.json: it has no figures"):
        read_json(file)
