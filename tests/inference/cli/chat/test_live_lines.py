import pytest
from concordance_inference.cli.chat.live_lines import LiveLines
from terminal_screen import TerminalScreen


@pytest.fixture(name="screen")
def _screen():
    return TerminalScreen(columns=20, lines=5)


@pytest.fixture(name="live")
def _live(screen):
    return LiveLines(screen.write, lambda: screen.height)


def test_changed_lines_are_drawn_again_in_their_place(screen, live):
    live.show(["a", "b"])
    live.show(["a", "bc", "d"])
    live.finish(["a", "bcd"])

    assert screen.text == "a\nbcd"


def test_unchanged_lines_are_not_written_again(screen, live):
    live.show(["first", "second"])
    live.show(["first", "second!"])

    assert "first" not in screen.writes[-1]
    live.show(["first", "second!"])
    assert len(screen.writes) == 2


def test_next_lines_follow_finished_ones(screen, live):
    live.finish(["a"])
    live.show(["b"])
    live.finish(["c"])

    assert screen.text == "a\nc"


def test_lines_that_leave_the_window_are_written_once(screen, live):
    lines = []
    for i in range(30):
        lines.append(f"line {i}")
        live.show(lines)
    live.finish(lines)

    assert screen.lines[:30] == lines


def test_more_lines_than_the_window_can_be_drawn_at_once(screen, live):
    lines = [f"line {i}" for i in range(30)]
    live.show(lines)
    live.show([*lines, "end"])
    live.finish([*lines, "end."])

    assert screen.lines[:31] == [*lines, "end."]


def test_fewer_lines_clear_those_below(screen, live):
    live.show(["a", "b", "c"])
    live.finish(["a"])

    assert screen.text == "a"
