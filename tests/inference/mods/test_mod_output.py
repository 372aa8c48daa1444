"""What mods print, apart from what the program prints."""
# ruff: noqa: T201

import logging
import sys

from concordance_inference.mods import mod_output
from concordance_inference.mods.mod_output import captured_output, log_line
from concordance_sdk import Added, mod
from concordance_sdk.testing import play


def captured(*plays):
    """The (mod, line) pairs of what mods print, each list of mods playing once."""
    lines = []
    with captured_output(lambda scope, line: lines.append((scope.mod, line))):
        for mods in plays:
            play(*mods, says="ab")
    return lines


def printing(*texts, name="prints", **options):
    """Make a mod that prints at its first token."""

    @mod(on=[Added], name=name, registered=False)
    def prints(event, actions):
        if event.step == 0:
            for text in texts:
                print(text, **options)

    return prints


def test_lines_of_a_mod_go_to_the_sink():
    assert captured([printing("one", "two\nthree")]) == [
        ("prints", "one"),
        ("prints", "two"),
        ("prints", "three"),
    ]


def test_the_programs_own_output_passes_through(capsys):
    lines = []
    with captured_output(lambda _, line: lines.append(line)):
        print("out")
        print("err", file=sys.stderr)
        play(printing("mod's"), says="a")

    assert capsys.readouterr() == ("out\n", "err\n")
    assert lines == ["mod's"]


def test_init_and_prepare_are_captured_and_standard_error_too():
    @mod(registered=False)
    class Prints:
        def __init__(self):
            print("init")

        def prepare(self, tokenizer):
            print("prepare", file=sys.stderr)

        def added(self, event, actions): ...

    assert captured([Prints]) == [("prints", "init"), ("prints", "prepare")]


def test_two_mods_that_print_pieces_of_lines_are_not_mixed():
    mods = [printing("a", "b", name="one", end=""), printing("c", "d", name="two", end="")]

    assert sorted(captured(mods)) == [("one", "ab"), ("two", "cd")]


def test_a_line_without_an_end_is_complete_when_the_block_ends():
    lines = []
    with captured_output(lambda _, line: lines.append(line)):
        play(printing("no end", end=""), says="a")

    assert lines == ["no end"]


def test_output_is_bounded_for_each_mod_and_request(monkeypatch):
    monkeypatch.setattr(mod_output, "MAX_CHARS", 10)
    prints = printing("12345678", "12345678", "12345678")
    lines = [line for _, line in captured([prints], [prints])]

    assert lines[:2] == ["12345678", "1"]
    assert "mod 'prints' has printed 10 characters, which is the limit for one request" in lines[2]
    assert lines[3:] == lines[:3]


def test_a_long_line_is_split():
    assert [len(line) for _, line in captured([printing("x" * 4500)])] == [2000, 2000, 500]


def test_a_sink_that_prints_does_not_call_itself(capsys):
    with captured_output(lambda scope, line: print(f"[{scope.mod}] {line}")):
        play(printing("hi"), says="a")

    assert capsys.readouterr().out == "[prints] hi\n"


def test_the_stream_keeps_its_other_attributes(capsys):
    with captured_output(log_line):
        assert sys.stdout.isatty() is False
        assert sys.stdout.encoding
        sys.stdout.writelines(["a", "b\n"])
        sys.stdout.flush()

    assert capsys.readouterr().out == "ab\n"


def test_the_streams_are_restored():
    before = sys.stdout, sys.stderr
    with captured_output(log_line):
        assert sys.stdout is not before[0]

    assert (sys.stdout, sys.stderr) == before


def test_play_leaves_printing_alone(capsys):
    play(printing("hi"), says="a")

    assert capsys.readouterr().out == "hi\n"


def test_a_printed_line_is_logged_by_the_mods_logger_with_its_request(caplog):
    with caplog.at_level(logging.INFO), captured_output(log_line):
        play(printing("hi\x1b[2J"), says="a")

    (record,) = caplog.records
    assert record.name == "concordance.mods.prints"
    assert record.getMessage().startswith("played-")
    assert record.getMessage().endswith(": hi\\x1b[2J")
