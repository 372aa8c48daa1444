"""Waits for files to change."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from concordance_inference.mods.loading import python_files

#: Seconds between two looks at the files.
_POLL_S = 0.2

#: Seconds without a change after which a save is complete: editors write a file in several steps.
_QUIET_S = 0.1

_State = dict[Path, tuple[int, int]]


def changes(
    path: Path, *, poll_s: float = _POLL_S, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Yield at once, and then after every change of a Python file or a folder of them.

    Changes while the caller works are seen when it asks for the next one. A file that is gone has
    changed, too; an editor may write it again.

    Args:
        path: The file or folder.
        poll_s: Seconds between two looks.
        sleep: Called with the seconds to wait.
    """
    while True:
        seen = _state(path)
        yield
        while (now := _state(path)) == seen:
            sleep(poll_s)
        while now != seen:
            seen = now
            sleep(_QUIET_S)
            now = _state(path)


def _state(path: Path) -> _State:
    """The time and size of each file."""
    state: _State = {}
    for file in python_files(path):
        try:
            stat = file.stat()
        except OSError:
            continue
        state[file] = (stat.st_mtime_ns, stat.st_size)
    return state
