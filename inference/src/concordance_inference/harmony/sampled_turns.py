"""The sampled tokens of the turns of the assistant, for later prompts that contain the turns.

The model writes headers as it likes, and its tokenization is not the only one of a text:

    sampled     <|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>
    rendered    to=functions.f<|channel|>commentary <|constrain|>json<|message|>{"a":1}<|call|>

A later prompt has the sampled tokens, so that it extends the cached one. They are found by what
the client sends of the turn, and by all that precedes it in the conversation but reasoning, which
later prompts do not have.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from concordance_shared import Message
from msgspec import Struct

#: Limit of turns that are kept; the least recently used one is evicted first.
MAX_TURNS = 4096


class SampledMessage(Struct, frozen=True):
    """The token ids of a message as sampled, with `<|start|>assistant` and the token of its end."""

    ids: Sequence[int]
    is_reasoning: bool


class SampledTurn(Struct, frozen=True, kw_only=True):
    """The messages of a turn."""

    reasoning: str
    messages: tuple[SampledMessage, ...]

    def ids(self, *, with_reasoning: bool) -> Iterator[Sequence[int]]:
        """The token ids of the messages."""
        for message in self.messages:
            if with_reasoning or not message.is_reasoning:
                yield message.ids


class Position:
    """A position in a conversation: a digest of the messages before it."""

    def __init__(self, instructions: str = "", *, space: str = "") -> None:
        """Begin a conversation after its instructions.

        Args:
            instructions: The instructions.
            space: Digests are equal within one space only; see `GenerationRequest.prefix_space`.
        """
        self._hash = hashlib.blake2b(instructions.encode(), digest_size=16, key=space.encode())

    def add(self, message: Message) -> None:
        """Continue after a message."""
        self._hash.update(_digest(message))

    def before(self, message: Message) -> bytes:
        """Return a digest of the position and the message that is there."""
        copy = self._hash.copy()
        copy.update(_digest(message))
        return copy.digest()


def _digest(message: Message) -> bytes:
    """A digest of a message without its reasoning."""
    calls = [
        (call.function.name, _plain(call.function.arguments)) for call in message.tool_calls or ()
    ]
    parts = json.dumps([message.role, message.name, message.text, calls])
    return hashlib.blake2b(parts.encode(), digest_size=16).digest()


def _plain(arguments: str) -> str:
    """Arguments without the spaces that clients add or remove."""
    try:
        return json.dumps(json.loads(arguments))
    except (ValueError, RecursionError):
        return arguments


class SampledTurns:
    """Sampled turns by their position. Thread-safe."""

    def __init__(self, max_turns: int = MAX_TURNS) -> None:
        """Keep up to `max_turns`."""
        self._max_turns = max_turns
        self._turns: OrderedDict[bytes, SampledTurn] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, key: bytes, turn: SampledTurn) -> None:
        """Keep a turn."""
        with self._lock:
            self._turns[key] = turn
            self._turns.move_to_end(key)
            if len(self._turns) > self._max_turns:
                self._turns.popitem(last=False)

    def recall(self, key: bytes) -> SampledTurn | None:
        """Return a turn if it is kept."""
        with self._lock:
            if key in self._turns:
                self._turns.move_to_end(key)
            return self._turns.get(key)
