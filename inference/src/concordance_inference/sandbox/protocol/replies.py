"""What a worker sends to the engine. Hostile: every field has a type and bounds."""

from typing import Annotated, Literal

import msgspec
from concordance_shared import ToolCall
from msgspec import Meta, Struct

#: Bounds. `Count` is of tokens, positions and calls.
Count = Annotated[int, Meta(ge=0, lt=1 << 31)]
Text = Annotated[str, Meta(max_length=16 * 1024)]
Name = Annotated[str, Meta(max_length=200)]

#: Token ids as packed signed integers of 32 bits, not yet compared with the vocabulary.
Tokens = Annotated[bytes, Meta(max_length=1 << 20)]

#: Most instances of a mod: its parts, and the mods that it contains.
MAX_INSTANCES = 64

#: Most events in a message.
MAX_ASKS = 256

#: Most entries of a mapping of biases; a worker sends more as a row.
MAX_BIASES = 4096

#: Most holds and spans that a worker reports.
MAX_SPANS = 64


class SentShared(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the mod holds back and writes; see `SharedState`."""

    holds: Annotated[tuple[tuple[Count, bool, Count | None], ...], Meta(max_length=MAX_SPANS)]
    writing: Annotated[tuple[tuple[Count, Count | None], ...], Meta(max_length=MAX_SPANS)]


class SentPrefill(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="P"):
    """`AdjustedPrefill`."""

    tokens: Tokens
    max_steps: Count
    logprobs: bool


class SentLogits(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="L"):
    """`AdjustedLogits`; whole rows are in the shared memory.

    Attributes:
        has_row: True if `logits` is there.
        has_biases: True if `bias` is there.
    """

    has_row: bool
    has_biases: bool
    bias: Annotated[dict[Count, float], Meta(max_length=MAX_BIASES)] | None
    allow: Tokens | None
    ban: Tokens | None
    mask: Annotated[bytes, Meta(max_length=1 << 20)] | None
    token_temp: float | None


class SentForce(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="F"):
    """`ForceTokens`."""

    tokens: Tokens


class SentBacktrack(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="B"):
    """`Backtrack`."""

    n: Count
    tokens: Tokens | None


class SentOutput(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="O"):
    """`ForceOutput`."""

    tokens: Tokens


class SentToolCalls(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="T"):
    """`ToolCalls`."""

    tool_calls: Annotated[tuple[ToolCall, ...], Meta(max_length=128)]


class SentError(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="E"):
    """`EmitError`."""

    text: Annotated[str, Meta(max_length=64 * 1024)]


SentAction = (
    SentPrefill | SentLogits | SentForce | SentBacktrack | SentOutput | SentToolCalls | SentError
)


class SentResult(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a handler returned: an action, `None` for a `Noop`, and reports as JSON."""

    action: SentAction | None
    reports: Annotated[tuple[bytes, ...], Meta(max_length=1024)] = ()


class Up(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="u"):
    """The worker is confined and waits for a mod: the layers, by name."""

    layers: Annotated[dict[Name, Name], Meta(max_length=8)]


class SentInstance(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An instance: its name, the events that it handles, the logits that its mod declares."""

    name: Name
    events: Annotated[tuple[Name, ...], Meta(max_length=8)]
    logits: Annotated[int, Meta(ge=1, lt=1 << 20)] | Literal["none", "full"] | None


class SentReady(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="r"):
    """The mod is loaded and prepared."""

    max_backtrack: Count | None
    instances: Annotated[tuple[SentInstance, ...], Meta(max_length=MAX_INSTANCES)]
    logs: Text
    shared: SentShared | None


class SentDescription(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="d"):
    """The description of a mod, as JSON."""

    description: Annotated[bytes, Meta(max_length=64 * 1024)]
    declares_max_backtrack: bool
    logs: Text


class SentFailure(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The error of a mod.

    Attributes:
        code: The code of the error.
        message: Its message.
        event: The event at which the mod failed.
        step: The position.
        param: The request's field at fault, if it is the request.
        traceback: The mod's own frames.
    """

    code: Name
    message: Text
    event: Name | None
    step: Count | None
    param: Name | None
    traceback: Text


class SentUnready(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="x"):
    """The mod cannot be loaded or prepared; the worker ends."""

    failure: SentFailure
    logs: Text


class Reply(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="a"):
    """The answer to a message of events.

    Attributes:
        seq: The number of the message.
        results: Of the events that were handled, in order.
        logs: What the mod has printed.
        micros: Time in the mod's code.
        shared: What the mod holds back and writes, if it has changed.
        failure: How the event after those failed, if it did.
    """

    seq: Count
    results: Annotated[tuple[SentResult, ...], Meta(max_length=MAX_ASKS)]
    logs: Text
    micros: Annotated[int, Meta(ge=0, lt=1 << 40)]
    shared: SentShared | None
    failure: SentFailure | None


class SentRead(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="q"):
    """A handler reads logits that were not sent along.

    Attributes:
        seq: The number of the message that it handles.
        ask: The index of the event.
        kind: What it reads.
        k: For `top_k` and `margin`.
        tokens: For `logprobs`.
    """

    seq: Count
    ask: Annotated[int, Meta(ge=0, lt=MAX_ASKS)]
    kind: Literal["top_k", "row", "logprobs", "entropy", "margin", "logprob"]
    k: Count = 0
    tokens: Tokens = b""


FromWorker = Up | SentReady | SentDescription | SentUnready | Reply | SentRead

DECODER = msgspec.msgpack.Decoder(FromWorker)
ENCODER = msgspec.msgpack.Encoder()
