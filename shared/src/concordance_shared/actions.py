"""What a mod may answer: eight actions, as values.

Building one checks nothing, since it is only a value; `legality.check_action` is the one door at
which every answer of a mod is checked before it changes anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from concordance_shared.conversation import ToolCall


class Action(Struct, frozen=True, tag=True):
    """A mod's answer to an event."""


class Noop(Action, frozen=True, tag=True):
    """Change nothing. Returning `None` says the same."""


class AdjustedPrefill(Action, frozen=True, tag=True):
    """Replace the prompt; a positive `max_steps` also caps this request's completion."""

    tokens: Sequence[int]
    max_steps: int = 0


class AdjustedLogits(Action, frozen=True, kw_only=True, tag=True, eq=False):
    """Change the distribution from which this one position is sampled.

    The fields apply in the order in which they stand here, and every one may be left out. All but
    `logits` stay on the device: they cost the same whatever the size of the vocabulary.
    """

    logits: Any = None  # a whole new row: (vocab,) floats, as numpy, mlx, a sequence or bytes
    bias: Mapping[int, float] | None = None  # token id -> what is added to its score
    allow: Sequence[int] | None = None  # only these token ids can be sampled
    ban: Sequence[int] | None = None  # these cannot
    mask: Any = None  # packed bitmask, bit `i % 8` of byte `i // 8` says whether token i may stay
    token_temp: float | None = None  # the temperature of this position; 0 takes the best token


class ForceTokens(Action, frozen=True, tag=True):
    """Put these tokens here without sampling them.

    At `ForwardPass` and `Sampled` they stand instead of the sampled token, at `Added` they follow
    the tokens that were just added. An empty list changes nothing.
    """

    tokens: Sequence[int]


class Backtrack(Action, frozen=True, tag=True):
    """Take back the last `n` tokens of the completion, then put `tokens` there, if any.

    A token that was sampled and not yet added is dropped and does not count in `n`; tokens that
    were just added do count.
    """

    n: int
    tokens: Sequence[int] | None = None


class ForceOutput(Action, frozen=True, tag=True):
    """Make exactly these tokens the completion, and end it."""

    tokens: Sequence[int]


class ToolCalls(Action, frozen=True, tag=True):
    """End the completion as calls of tools, in OpenAI's shape."""

    tool_calls: Sequence[ToolCall]


class EmitError(Action, frozen=True, tag=True):
    """End the request with an error that the client is told."""

    err_str: str


AnyAction = (
    Noop
    | AdjustedPrefill
    | AdjustedLogits
    | ForceTokens
    | Backtrack
    | ForceOutput
    | ToolCalls
    | EmitError
)

ACTIONS: tuple[type[Action], ...] = (
    Noop,
    AdjustedPrefill,
    AdjustedLogits,
    ForceTokens,
    Backtrack,
    ForceOutput,
    ToolCalls,
    EmitError,
)
