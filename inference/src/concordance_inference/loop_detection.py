"""What a request asks of loop detection, and the loops that were found in a completion. Plain data.

`engine/loops` does the work.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct

#: `stop_reason` of a completion that ended in a loop.
LOOP = "loop"

#: Limit of `max_tries`.
MAX_TRIES = 16

Mode = Literal["off", "cheap", "full"]


class LoopDetection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How loops in a completion are found, and what happens then.

    Attributes:
        mode: `cheap` finds one token that repeats; `full` finds sequences of up to 64 tokens that
            repeat; `off` finds nothing.
        action: `end` ends the completion; `rewind` removes the repeats, forbids the token that
            began them, and continues.
        max_tries: How often a completion is rewound before it ends.
    """

    mode: Mode = "cheap"
    action: Literal["end", "rewind"] = "end"
    max_tries: Annotated[int, Meta(ge=1, le=MAX_TRIES)] = 8


#: A request's field: the mode, or all of it.
LoopChoice = Mode | LoopDetection

#: What a request gets that does not choose.
USUAL = LoopDetection()


class FoundLoop(Struct, frozen=True, kw_only=True):
    """A loop in a completion.

    Attributes:
        begin: The step of its first token.
        period: The tokens that repeat.
        repeats: How often they occurred, the first time included.
        outcome: `ended`: the completion ended there. `rewound`: the repeats were removed.
        tries: How often the completion was rewound, this time included.
    """

    begin: int
    period: int
    repeats: int
    outcome: Literal["ended", "rewound"]
    tries: int = 0


def chosen(
    choice: LoopChoice | None, usual: LoopDetection = USUAL, *, ignores_eos: bool = False
) -> LoopDetection:
    """Return what a request asks for.

    A request that ignores end-of-sequence tokens asks for a completion of a given length, so its
    loops are not searched unless it chooses.

    Args:
        choice: The request's own, if any.
        usual: That of the server.
        ignores_eos: End-of-sequence tokens do not end the completion.
    """
    if choice is None:
        return LoopDetection(mode="off") if ignores_eos else usual
    return LoopDetection(mode=choice) if isinstance(choice, str) else choice


def ends_in_loop(loops: Iterable[FoundLoop]) -> bool:
    """Return True if a loop ended the completion."""
    return any(loop.outcome == "ended" for loop in loops)
