"""A reply while it is generated: what a model sends, and what is kept of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from concordance_shared import Message
from msgspec import Struct, structs

from concordance_inference.chat.message_parts import MessagePart, joined
from concordance_inference.cli.chat.conversation_file import INTERRUPTED, ReplyEntry, ReplyStats
from concordance_inference.cli.options import Chat
from concordance_inference.generation import ReportsDelta, Started


class Restated(Struct, frozen=True):
    """The parts of a resumed reply before the resumption, read again with what follows them."""

    parts: Sequence[MessagePart]


class Replaced(Struct, frozen=True, kw_only=True):
    """The end of the reply before its resumption was not final: characters to remove from it."""

    reasoning: int = 0
    content: int = 0


class ReplyEnd(Struct, frozen=True, kw_only=True):
    """The end of a reply."""

    finish: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    truncated_messages: int = 0
    completion_tokens: int | None = None  # `None`: not known


ReplyUpdate = Started | MessagePart | ReportsDelta | Restated | Replaced | ReplyEnd


class RunningReply(Protocol):
    """A reply of a model. Iterate for its updates; `ReplyEnd` is the last one."""

    def __iter__(self) -> Iterator[ReplyUpdate]: ...

    def stop(self) -> Sequence[MessagePart | ReplyEnd]:
        """Cancel the reply; return the parts that were held back, and its end."""
        ...

    @property
    def cut(self) -> object | None:
        """Names the reply for the model that resumes it; `None`: only its text is known."""
        ...


class ModLine(Struct, frozen=True, kw_only=True):
    """A mod that replies can use."""

    name: str
    description: str


class ChatModel(Protocol):
    """The model of a conversation: in this process, or on a server."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def source(self) -> str | None:
        """The value of `--model` that loads it; `None` if there is none."""
        ...

    def reply(self, messages: Sequence[Message], options: Chat) -> RunningReply:
        """Begin a reply.

        Raises:
            ConcordanceError: The request is refused.
        """
        ...

    def resume(self, messages: Sequence[Message], options: Chat, cut: object) -> RunningReply:
        """Resume the last message.

        Args:
            messages: The conversation, with the reply so far.
            options: How to sample.
            cut: The `cut` of the reply, if this model began it in this run.

        Raises:
            ConcordanceError: The request is refused.
        """
        ...

    def switch(self, name: str) -> None:
        """Use another model.

        Raises:
            ConcordanceError: There is none of this name; the one before is used.
        """
        ...

    def check_mods(self, options: Chat) -> None:
        """Refuse mods that cannot be used.

        Raises:
            ConcordanceError: One is unknown, or a parameter is wrong.
        """
        ...

    def model_names(self) -> list[str]:
        """Return the names that `switch` takes, as far as they are known."""
        ...

    def mods(self) -> list[ModLine]:
        """Return the mods that can be used."""
        ...


class ReplyRecord:
    """Collects a reply, over its resumptions, and measures it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin at the request."""
        self._clock = clock
        self._begun = clock()
        self._first_at: float | None = None
        self._first_s: float | None = None
        self._decode_s = 0.0
        self._num_decoded = 0  # tokens after the first one of each request
        self._completion_tokens = 0
        self._parts: list[MessagePart] = []
        self._before = ReplyEntry(content="")
        self._end = ReplyEnd(finish=INTERRUPTED)
        self.cut: object | None = None

    def resumed(self, entry: ReplyEntry) -> None:
        """Continue a reply from here: what is collected follows what the entry has."""
        self._before = entry
        self._parts = []
        self._completion_tokens = entry.stats.completion_tokens
        self._begun, self._first_at = self._clock(), None

    def add(self, update: ReplyUpdate) -> None:
        """Take an update."""
        match update:
            case Started():
                self._begin()
            case ReportsDelta():
                pass
            case Restated():
                self._parts = [*update.parts]
                self._before = ReplyEntry(content="", resumed=self._before.resumed)
            case Replaced():
                self._before = structs.replace(
                    self._before,
                    reasoning=_without(self._before.reasoning, update.reasoning),
                    content=_without(self._before.content, update.content),
                )
            case ReplyEnd():
                self._ended(update)
            case _:
                self._begin()
                self._parts.append(update)

    def _begin(self) -> None:
        """Take the time of the first token."""
        if self._first_at is None:
            self._first_at = self._clock()
            self._first_s = self._first_s or self._first_at - self._begun

    def _ended(self, end: ReplyEnd) -> None:
        self._end = end
        if self._first_at is not None and end.completion_tokens:
            self._decode_s += self._clock() - self._first_at
            self._num_decoded += end.completion_tokens - 1
        self._completion_tokens += end.completion_tokens or 0

    @property
    def finish(self) -> str:
        """Why the reply ended."""
        return self._end.finish

    @property
    def entry(self) -> ReplyEntry:
        """The reply, for the conversation."""
        message = joined(self._parts)
        is_measured = self._num_decoded > 0 and self._decode_s > 0
        return ReplyEntry(
            content=self._before.content + message.content,
            reasoning=self._before.reasoning + message.reasoning,
            tool_calls=(*self._before.tool_calls, *message.tool_calls),
            finish=self._end.finish,
            resumed=self._before.resumed,
            stats=ReplyStats(
                first_token_s=self._first_s and round(self._first_s, 4),
                tokens_per_s=round(self._num_decoded / self._decode_s, 2) if is_measured else None,
                prompt_tokens=self._end.prompt_tokens,
                cached_tokens=self._end.cached_tokens,
                truncated_messages=self._end.truncated_messages,
                completion_tokens=self._completion_tokens,
            ),
        )


def _without(text: str, num_last: int) -> str:
    return text[: len(text) - num_last]
