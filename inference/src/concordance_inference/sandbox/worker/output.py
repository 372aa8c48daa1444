"""What a mod prints and logs: collected in a buffer of limited size, sent with each reply."""

import io
import logging
import sys

#: Characters that a mod may print at one event, and in one request.
PER_EVENT, PER_REQUEST = 12 * 1024, 256 * 1024

_LEVEL = logging.INFO


class CappedOutput(io.TextIOBase):
    """A text stream that keeps what fits, and says that the rest is dropped."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._parts: list[str] = []
        self._num_kept = 0  # since the last `take`
        self._num_total = 0
        self._is_dropping = False

    def writable(self) -> bool:
        """Return True: a mod can print."""
        return True

    def write(self, text: str) -> int:
        """Keep as much of a text as fits."""
        room = min(PER_EVENT - self._num_kept, PER_REQUEST - self._num_total)
        kept = text[:room]
        if kept:
            self._parts.append(kept)
            self._num_kept += len(kept)
            self._num_total += len(kept)
        self._is_dropping |= len(kept) < len(text)
        return len(text)

    def take(self) -> str:
        """Return what was printed since the last call."""
        if not self._num_kept and not self._is_dropping:
            return ""
        text = "".join(self._parts)
        if self._is_dropping:
            text += (
                f"\n(the rest is dropped: a mod may print {PER_EVENT} characters at one event and "
                f"{PER_REQUEST} in one request)"
            )
        self._parts, self._num_kept, self._is_dropping = [], 0, False
        return text.encode("utf-8", "replace").decode()


def capture() -> CappedOutput:
    """Send what is printed and logged in this process to a buffer, and return it."""
    output = CappedOutput()
    sys.stdout = sys.stderr = output
    logging.basicConfig(
        stream=output, level=_LEVEL, format="%(levelname)s %(name)s: %(message)s", force=True
    )
    return output
