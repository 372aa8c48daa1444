"""What the engine and the zygote send to each other. Both are trusted.

Descriptors travel beside the messages, in their order.
"""

import msgspec
from msgspec import Struct

from concordance_inference.sandbox.protocol.framing import Layout


class Fork(Struct, frozen=True, array_like=True, tag="f"):
    """Fork a worker. Two descriptors follow: its channel and its shared memory.

    Attributes:
        worker: Its number.
        layout: The layout of the memory.
        memory: Bytes that it may allocate.
        cpu_s: Seconds of CPU time.
    """

    worker: int
    layout: Layout
    memory: int
    cpu_s: int


class Kill(Struct, frozen=True, array_like=True, tag="k"):
    """Kill a worker."""

    worker: int


class AddModel(Struct, frozen=True, array_like=True, tag="m"):
    """Load a tokenizer, for all workers that are forked from now on.

    One descriptor follows: the tokenizer's serialized state.

    Attributes:
        model: The model's id.
        kind: `fast` for a state of the package `tokenizers`, `bytes` for the SDK's `ByteTokenizer`.
        eos_ids: The tokens that end a completion.
        width: Width of the model's logits.
    """

    model: str
    kind: str
    eos_ids: tuple[int, ...]
    width: int


class RemoveModel(Struct, frozen=True, array_like=True, tag="r"):
    """Free a tokenizer. Workers that are forked already keep it."""

    model: str


ToZygote = Fork | Kill | AddModel | RemoveModel


class Started(Struct, frozen=True, array_like=True, tag="s"):
    """The zygote has loaded its modules."""

    pid: int


class Forked(Struct, frozen=True, array_like=True, tag="w"):
    """A worker is forked. With a descriptor of the process, where the system has such."""

    worker: int
    pid: int
    has_pidfd: bool


class Exited(Struct, frozen=True, array_like=True, tag="x"):
    """A worker has ended.

    Attributes:
        worker: Its number.
        status: The exit status, or minus the number of the signal that killed it.
        error: Why it was never started.
    """

    worker: int
    status: int
    error: str = ""


class ModelAdded(Struct, frozen=True, array_like=True, tag="m"):
    """A tokenizer is loaded, or cannot be."""

    model: str
    error: str = ""


FromZygote = Started | Forked | Exited | ModelAdded

TO_ZYGOTE = msgspec.msgpack.Decoder(ToZygote)
FROM_ZYGOTE = msgspec.msgpack.Decoder(FromZygote)
ENCODER = msgspec.msgpack.Encoder()
