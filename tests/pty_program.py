"""A Python program under a pseudo-terminal: what its window shows, and keys that are typed."""

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path
from struct import pack

import pyte

ENTER, TAB, CTRL_C, CTRL_D = "\r", "\t", "\x03", "\x04"

_TESTS = Path(__file__).parent

#: The terminal becomes the one that Ctrl-C comes from.
_BEGIN = f"""
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.path.insert(0, {str(_TESTS)!r})
"""


class PtyProgram:
    """A program in a terminal. A context manager, which kills it at the end."""

    def __init__(self, code, *, columns=80, lines=24, **env):
        self.screen = pyte.HistoryScreen(columns, lines, history=1000, ratio=0.5)
        self.screen.write_process_input = self.type  # answers to questions of the program
        self._stream = pyte.ByteStream(self.screen)
        self._terminal, end = pty.openpty()
        ioctl(end, termios.TIOCSWINSZ, pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN + code],
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **env},
        )
        os.close(end)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    def type(self, text):
        os.write(self._terminal, text.encode())

    @property
    def text(self):
        """What was shown, with the lines that scrolled out of the window."""
        above = [
            "".join(line[i].data for i in range(self.screen.columns))
            for line in self.screen.history.top
        ]
        return "\n".join(line.rstrip() for line in (*above, *self.screen.display)).rstrip()

    def expect(self, pattern, *, times=1, timeout=30):
        """Wait until the text has a pattern this many times."""
        end = time.monotonic() + timeout
        while len(re.findall(pattern, self.text)) < times:
            assert time.monotonic() < end, f"no {pattern!r} in:\n{self.text}"
            if not self._read(0.1) and self.process.poll() is not None:
                while self._read(0):
                    pass
                found = len(re.findall(pattern, self.text))
                assert found >= times, f"ended without {pattern!r}:\n{self.text}"

    def _read(self, timeout):
        if not select.select([self._terminal], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # the program has ended
            return False
        # pyte does not know this mode, in which terminals show several changes at once
        self._stream.feed(re.sub(rb"\x1b\[\?2026[hl]", b"", data))
        return True

    def exit_status(self, timeout=30):
        """Wait for the end of the program."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end:\n{self.text}"
            self._read(0.1)
        while self._read(0):
            pass
        return self.process.returncode
