"""Every group of figures. No time is asserted."""

import subprocess
import sys

import pytest
from concordance_inference.bench import drive, suite
from concordance_inference.bench.cases import (
    conversation,
    decode,
    edits,
    latency,
    memory,
    mods,
    scripts,
)
from concordance_inference.bench.figures import measured
from concordance_inference.cli import bench as command
from concordance_inference.cli.options import Bench
from concordance_sdk.registry import registry


@pytest.mark.slow
@pytest.mark.parametrize("name", suite.GROUPS)
def test_a_group_is_measured(subject, effort, name):
    figures = list(suite.figures([(subject, effort)], [name]))

    assert figures
    assert {figure.model for figure in figures} == {"tiny"}
    assert len({figure.name for figure in figures}) == len(figures)


def test_decode_rates_have_a_baseline_and_a_target(subject, effort):
    figures = list(decode.figures(subject, effort))

    assert len(figures) == 3
    assert all(f.ratio == f.value / f.baseline and f.target for f in figures)


def test_a_batch_with_eight_different_mods_is_compared_with_one_without(subject, effort):
    assert len(set(mods.eight_mods())) == 8
    (figure,) = mods.figures(subject, effort)

    assert figure.ratio == figure.value / figure.baseline


@pytest.mark.parametrize(("name", "script", "handlers"), scripts.pairs())
def test_a_script_is_compared_with_handlers_of_the_same_completion(name, script, handlers):
    ours, theirs = scripts.completion_of(script), scripts.completion_of(handlers)
    shorter = min(len(ours), len(theirs))  # the budget may end inside a question

    assert ours[:shorter] == theirs[:shorter]
    assert shorter > 900, name


def test_the_cost_of_scripts_is_measured_without_a_model(monkeypatch):
    monkeypatch.setattr(scripts, "_ROUNDS", 1)
    figures = list(suite.figures([], ["scripts"]))

    assert len(figures) == len(scripts.pairs())
    assert all(figure.target == 10 and figure.at_most for figure in figures)


def test_benchmarks_register_no_mod(subject, effort):
    registered = {*registry}
    for name in ("mods", "overlap", "constraints"):
        assert list(suite.figures([(subject, effort)], [name]))
    drive.force_seconds(subject.engine(), subject.prompt(4), subject.prompt(4))
    drive.backtrack_cost(subject.engine(), subject.prompt(4), 2, repeats=1)

    assert {*registry} == registered


@pytest.mark.process
def test_importing_the_benchmarks_registers_no_mod():
    code = (
        "from concordance_sdk.registry import registry; before = {*registry}; "
        "import concordance_inference.bench.suite; print({*registry} - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("only", "needs_model"),
    [([], True), (["pauses"], False), (["start", "o200k"], False), (["pauses", "decode"], True)],
)
def test_groups_that_need_a_model(only, needs_model):
    assert suite.needs_model(only) is needs_model


def test_groups_without_a_model_load_none(monkeypatch):
    monkeypatch.setitem(suite.MODEL_FREE, "start", lambda: iter([measured("x", "", "ms", 1.0)]))
    monkeypatch.setattr(command, "_subjects", lambda *_, **__: pytest.fail("loads a model"))

    command.run(Bench(only=["start"], quick=True))


def test_backtracking_at_long_contexts_is_compared_with_a_short_one(subject, effort):
    _, *figures = edits.figures(subject, effort)

    assert [figure.name.split(",")[0] for figure in figures] == [
        "backtracking 16 tokens at context 2000",
        "backtracking 16 tokens at context 4000",
    ]
    assert all(figure.baseline is not None and figure.at_most for figure in figures)


def test_the_last_turn_of_a_conversation_prefills_new_tokens_only(subject, effort):
    figures = list(conversation.figures(subject, effort))

    assert all(figure.meets_target for figure in figures)


def test_requests_do_not_leak_memory(subject, effort):
    figure = list(memory.figures(subject, effort))[-1]

    assert "160 short requests" in figure.name
    assert figure.meets_target


@pytest.mark.parametrize(("q", "value"), [(0.5, 3), (0.95, 4.8)])
def test_quantiles(q, value):
    assert latency.quantile([5, 1, 4, 2, 3], q) == pytest.approx(value)
    assert latency.quantile([], q) == 0
    assert latency.quantile([7], q) == 7


def test_gaps():
    assert latency.gaps([1, 3, 4]) == [2, 1]
