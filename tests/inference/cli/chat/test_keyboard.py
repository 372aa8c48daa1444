import os
import pty
import signal
import sys
import termios

from concordance_inference.cli.chat.keyboard import reply_keyboard, without_echo


def collect(items, each=lambda: None):
    """The items until Ctrl-C; `each` is called for each of them."""
    log = []
    with reply_keyboard() as keyboard:
        try:
            for item in keyboard.interruptible(items):
                each()
                log.append(item)
        except KeyboardInterrupt:
            return [*log, "Ctrl-C"]
    return log


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_interrupts_waiting():
    def items():
        yield 1
        ctrl_c()
        yield 2

    assert collect(items()) == [1, "Ctrl-C"]


def test_ctrl_c_outside_of_waiting_interrupts_the_next_wait():
    assert collect([1, 2, 3], ctrl_c) == [1, "Ctrl-C"]


def test_second_ctrl_c_interrupts_at_once():
    assert collect([1, 2], lambda: [ctrl_c(), ctrl_c()]) == ["Ctrl-C"]


def test_all_items_come_without_ctrl_c():
    assert collect([1, 2]) == [1, 2]


def test_handler_is_restored():
    before = signal.getsignal(signal.SIGINT)
    with reply_keyboard():
        assert signal.getsignal(signal.SIGINT) != before

    assert signal.getsignal(signal.SIGINT) == before


def test_typed_text_is_not_echoed(monkeypatch):
    terminal, end = pty.openpty()
    with os.fdopen(end) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with without_echo():
            assert not termios.tcgetattr(terminal)[3] & termios.ECHO
        assert termios.tcgetattr(terminal)[3] & termios.ECHO
    os.close(terminal)


def test_pipe_has_no_echo(monkeypatch, tmp_path):
    with (tmp_path / "file").open("w+") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with without_echo():
            pass
