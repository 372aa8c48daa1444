"""A line in the terminal about a completion that ended in a loop."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager

from concordance_inference.generation import Completed, Update
from concordance_inference.loop_detection import FoundLoop, ends_in_loop


@contextmanager
def loop_noted(
    updates: Iterable[Update], write: Callable[[str], object]
) -> Generator[Iterator[Update]]:
    """Pass on the updates of a request; write a line at the end if a loop ended the completion.

    Args:
        updates: The updates.
        write: Called with the line.
    """
    loops: list[FoundLoop] = []
    yield _collecting(updates, loops)
    if ends_in_loop(loops):
        write(f"concordance: note: {_note(loops[-1])}")


def _collecting(updates: Iterable[Update], loops: list[FoundLoop]) -> Iterator[Update]:
    for update in updates:
        if isinstance(update, Completed):
            loops += update.loops
        yield update


def _note(loop: FoundLoop) -> str:
    what = "one token repeats" if loop.period == 1 else f"{loop.period} tokens repeat"
    remedy = "" if loop.tries else "; --loop-action rewind continues without it"
    return f"the completion ended in a loop: from token {loop.begin} on, {what}{remedy}"
