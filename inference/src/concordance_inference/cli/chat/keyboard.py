"""The keyboard while a reply is generated: Ctrl-C stops it, and typed text is not echoed."""

import signal
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar

Item = TypeVar("Item")


class CtrlC:
    """Turns Ctrl-C into `KeyboardInterrupt` while an iterator waits, and only there.

    So nothing is interrupted that is half written to the terminal.
    """

    def __init__(self) -> None:
        """Start without an interrupt."""
        self._is_waiting = False
        self._is_pending = False

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Handle SIGINT. A second one, while the first is not handled, is raised at once."""
        del signum, frame
        if self._is_waiting or self._is_pending:
            self._is_waiting = self._is_pending = False
            raise KeyboardInterrupt
        self._is_pending = True

    def interruptible(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items; waiting for the next one can be interrupted.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        iterator = iter(items)
        while True:
            self._is_waiting = True
            try:
                if self._is_pending:
                    self._is_pending = False
                    raise KeyboardInterrupt
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._is_waiting = False
            yield item


@contextmanager
def reply_keyboard() -> Generator[CtrlC]:
    """Handle Ctrl-C, and keep the terminal from echoing, until the block ends."""
    handler = CtrlC()
    if threading.current_thread() is not threading.main_thread():
        yield handler
        return
    before = signal.signal(signal.SIGINT, handler.handle)
    try:
        with without_echo():
            yield handler
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def without_echo() -> Generator[None]:
    """Keep typed text in the terminal's buffer, for the next message, without showing it."""
    try:
        import termios
    except ImportError:  # not on this platform
        yield
        return
    try:
        file = sys.stdin.fileno()
        before = termios.tcgetattr(file)
    except (OSError, ValueError, termios.error):  # not a terminal
        yield
        return
    changed = [*before]
    changed[3] &= ~termios.ECHO
    termios.tcsetattr(file, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(file, termios.TCSADRAIN, before)
