"""Selects the frames of a mod's own code, for messages and tracebacks."""

import sys
import traceback
from collections.abc import Iterable
from types import FrameType

Frame = tuple[FrameType, int]  # a frame, and the line that it is at

#: Packages that mods call, and that call mods.
_CALLED = {"concordance_sdk", "concordance_shared", "concordance_inference", "numpy"} | (
    sys.stdlib_module_names
)

#: Maximum number of frames in a formatted stack.
_MAX_FRAMES = 20


def own_frames(frames: Iterable[Frame]) -> list[Frame]:
    """Return the frames outside of the engine, the SDK and the standard library.

    Args:
        frames: Outermost first.
    """
    return [each for each in frames if _package(each[0]) not in _CALLED]


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def formatted(frames: Iterable[Frame]) -> str:
    """Format frames as a traceback does; of many, the innermost."""
    innermost = list(frames)[-_MAX_FRAMES:]
    return "".join(traceback.StackSummary.extract(iter(innermost)).format())
