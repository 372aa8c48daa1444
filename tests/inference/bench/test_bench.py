"""The benchmark runs, and sums up as it says. No time is asserted."""

import json

import pytest
from concordance_inference.bench import cases, drive
from concordance_inference.bench.drive import Subject
from concordance_inference.bench.figures import Figure, alternate, compared, write_json
from concordance_inference.bench.subjects import tiny_subject
from concordance_inference.models.loader import load_model
from tiny_folder import write_tiny_folder


@pytest.fixture(name="subject", scope="module")
def _subject(tmp_path_factory):
    loaded = load_model(str(write_tiny_folder(tmp_path_factory.mktemp("bench") / "tiny")))
    real = Subject("real", loaded.model, loaded.tokenizer.hf, traits_of(loaded), place=loaded.place)
    return tiny_subject(real)


def traits_of(loaded):
    from concordance_inference.bench.subjects import _traits

    return _traits(loaded.tokenizer, loaded.info.context_length)


def test_decoding_is_compared_with_mlx_lm(subject):
    figures = list(cases.decode_figures(subject, cases.Effort(rounds=1, decode_tokens=8)))

    assert len(figures) == 3
    assert all(f.value > 0 and f.baseline > 0 and f.ratio > 0 for f in figures)


def test_prefill_and_steering_are_measured(subject):
    effort = cases.Effort(rounds=1, decode_tokens=8, prefill_tokens=32)
    figures = [*cases.prefill_figures(subject, effort), *cases.steering_figures(subject, effort)]

    assert {f.unit for f in figures} == {"tokens/s", "ms"}
    assert all(f.value > 0 for f in figures)
    assert sum("taking back" in f.name for f in figures) == 4


def test_both_engines_generate_as_many_tokens_as_they_are_asked_for(subject):
    """Else their speeds would be of different work."""
    prompt = subject.prompt(5)
    from mlx_lm import stream_generate

    theirs = [
        r.token for r in stream_generate(subject.model, subject.tokenizer, prompt, max_tokens=9)
    ]
    ours = []
    subject.engine.submit(drive.request(prompt, 9), ours.append)
    while subject.engine.has_work:
        subject.engine.step()

    assert ours[-1].token_ids[: len(theirs)] == tuple(theirs)
    assert ours[-1].completion_tokens == 9


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
