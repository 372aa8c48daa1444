"""Every group of figures is measured, and says what it compares. No time is asserted."""

import pytest
from concordance_inference.bench import suite
from concordance_inference.bench.cases import conversation, decode, latency, memory, mods, steering


@pytest.mark.slow
@pytest.mark.parametrize("name", suite.GROUPS)
def test_a_group_is_measured(subject, effort, name):
    figures = list(suite.figures([(subject, effort)], [name]))

    assert figures
    assert {figure.model for figure in figures} == {"tiny"}
    assert len({figure.name for figure in figures}) == len(figures)


def test_decoding_is_compared_with_mlx_lm_and_has_to_reach_something(subject, effort):
    figures = list(decode.figures(subject, effort))

    assert len(figures) == 3
    assert all(f.value > 0 and f.baseline > 0 and f.ratio > 0 and f.wanted for f in figures)


def test_each_of_the_eight_mods_is_another(subject, effort):
    assert len(mods.MODS) == len(set(mods.MODS)) == 8
    (figure,) = mods.figures(subject, effort)

    assert figure.baseline > 0


def test_taking_back_is_told_as_it_is_and_compared_by_whole_tokens(subject, effort):
    _, *figures = steering.figures(subject, effort)

    assert [figure.name.split(",")[0] for figure in figures] == [
        "taking back 16 tokens at context 2000",
        "taking back 16 tokens at context 4000",
    ]
    assert all(figure.baseline is not None and figure.at_most for figure in figures)


def test_the_last_turn_of_a_conversation_reads_what_is_new(subject, effort):
    figures = list(conversation.figures(subject, effort))

    assert all(figure.holds for figure in figures)


def test_requests_leave_nothing_in_memory(subject, effort):
    figure = list(memory.figures(subject, effort))[-1]

    assert "160 short requests" in figure.name
    assert figure.holds


@pytest.mark.parametrize(("q", "value"), [(0.5, 3), (0.95, 4.8)])
def test_quantiles(q, value):
    assert latency.quantile([5, 1, 4, 2, 3], q) == pytest.approx(value)
    assert latency.quantile([], q) == 0
    assert latency.quantile([7], q) == 7


def test_gaps():
    assert latency.gaps([1, 3, 4]) == [2, 1]
