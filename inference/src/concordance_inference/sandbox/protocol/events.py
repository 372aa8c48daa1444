"""What the engine sends to a worker. Trusted, so decoded without bounds."""

from typing import Any

import msgspec
from concordance_shared import ChannelPlace, Conversation
from msgspec import Raw, Struct

from concordance_inference.harmony.place import Place
from concordance_inference.harmony.vocabulary import HarmonyTokens

#: A hold on the completion: step, True if it is never shown, end.
HoldState = tuple[int, bool, int | None]


class SharedState(Struct, frozen=True, array_like=True):
    """What mods of one request know of each other.

    Attributes:
        holds: What they hold back of the completion.
        writing: The spans that they write, as `(begin, end)`.
    """

    holds: tuple[HoldState, ...] = ()
    writing: tuple[tuple[int, int | None], ...] = ()


class ModSource(Struct, frozen=True, kw_only=True):
    """The source of a mod, as an upload has it.

    Attributes:
        name: The name that requests use.
        files: Relative path -> text.
        module: The dotted name of the module with the entry point.
        entrypoint: The function or class that is the mod, or the mod's registered name.
        home: A package whose modules can also be imported without its name; may be empty.
        version: The first digits of the hash of its content.
    """

    name: str
    files: dict[str, str]
    module: str
    entrypoint: str
    home: str = ""
    version: str = ""


class TagsSpec(Struct, frozen=True, tag="tags"):
    """Channels between tags, such as `<think>`: the arguments of `TagFormat`."""

    tags: tuple[tuple[str, str], ...]
    opened: tuple[str, str] | None = None


class HarmonySpec(Struct, frozen=True, tag="harmony"):
    """Channels of Harmony: the arguments of `HarmonyChannels`."""

    tokens: HarmonyTokens
    opened: Place
    may_answer: bool


ChannelsSpec = TagsSpec | HarmonySpec


class Begin(Struct, frozen=True, array_like=True, tag="b"):
    """The mod of a worker, and the request that it works for.

    Attributes:
        source: The mod.
        parameters: As the client sent them, in MessagePack.
        strict: False accepts strings for numbers.
        param: The request's field with the parameters, for messages.
        model: The model, by the id that the zygote knows.
        request_id: The request.
        conversation: Its messages, tools and response format.
        given: The beginning of the completion, if an earlier request generated it.
        channels: How the model marks channels; `None` if it has none that can be described.
        describes: True to describe the mod and to make no instance.
    """

    source: ModSource
    parameters: Raw
    strict: bool
    param: str
    model: str
    request_id: str
    conversation: Conversation
    given: tuple[int, ...] = ()
    channels: ChannelsSpec | None = None
    describes: bool = False


class SentPrefilled(Struct, frozen=True, array_like=True, tag="p"):
    """`Prefilled`."""

    max_steps: int
    tokens: tuple[int, ...]


class SentForwardPass(Struct, frozen=True, array_like=True, tag="f"):
    """`ForwardPass`, with what the mod needs of the logits.

    Attributes:
        step: The position.
        width: Length of a row of logits.
        top: The top logits, of the number that the mod declares.
        has_row: True if the whole row is in the shared memory.
        place: The channel.
        prompt_logprobs: As in the event.
    """

    step: int
    width: int
    top: tuple[tuple[int, float], ...] | None
    has_row: bool
    place: ChannelPlace | None
    prompt_logprobs: tuple[float | None, ...] | None


class SentSampled(Struct, frozen=True, array_like=True, tag="s"):
    """`Sampled`."""

    step: int
    token: int
    place: ChannelPlace | None
    logprob: float | None


class SentAdded(Struct, frozen=True, array_like=True, tag="a"):
    """`Added`."""

    step: int
    tokens: tuple[int, ...]
    forced: bool
    place: ChannelPlace | None


class SentFinished(Struct, frozen=True, array_like=True, tag="e"):
    """`Finished`."""

    step: int
    reason: str


SentEvent = SentPrefilled | SentForwardPass | SentSampled | SentAdded | SentFinished


class SentAsk(Struct, frozen=True, array_like=True):
    """An event for one of the mod's instances."""

    instance: int
    event: SentEvent


class Handle(Struct, frozen=True, array_like=True, tag="h"):
    """Events to handle in order, up to the first one that is answered by an action.

    Attributes:
        seq: Number of this message, which the reply repeats.
        asks: The events.
        shared: The state of the request's other mods, if it has changed.
        kept: Number of completion tokens that have not changed since the last message.
        added: Those that follow them. Sent if the model has channels.
    """

    seq: int
    asks: tuple[SentAsk, ...]
    shared: SharedState | None = None
    kept: int = 0
    added: tuple[int, ...] = ()


class Value(Struct, frozen=True, array_like=True, tag="v"):
    """The value that a handler reads.

    Attributes:
        value: A number, or pairs; `None` if it is a row in the shared memory.
        error: Why it cannot be read.
    """

    value: Any = None
    error: str | None = None


Message = Begin | Handle | Value

DECODER = msgspec.msgpack.Decoder(Message)
ENCODER = msgspec.msgpack.Encoder()
