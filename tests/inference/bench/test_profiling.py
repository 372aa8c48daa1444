"""Profiles by function."""

from concordance_inference.bench.profiling import hottest


def test_the_hottest_functions_come_first_with_file_and_line(subject):
    hot = hottest(subject, 20, count=5)

    assert len(hot) == 5
    assert [h.seconds for h in hot] == sorted((h.seconds for h in hot), reverse=True)
    assert any("engine/" in h.where for h in hottest(subject, 20, count=100))
