"""The parse of a finished completion by the openai-harmony library, with which ours is compared.

The library refuses many completions that gpt-oss writes, so what clients get is ours. A
completion that both read, and read differently, is a defect of the reader, which is logged.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from concordance_shared import FinishReason

from concordance_inference.chat.message_parts import ReadMessage
from concordance_inference.chat.message_reader import read_message
from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.harmony.encoding import harmony_encoding
from concordance_inference.harmony.message_kind import MessageKind, called_tool, kind_of
from concordance_inference.harmony.place import START, Header
from concordance_inference.harmony.reader import SEPARATOR, HarmonyReader
from concordance_inference.tools.offer import ToolOffer

logger = logging.getLogger(__name__)

#: Tokens of the longest completion that is parsed: the library takes 1 ms for 1000 of them, in
#: which no other thread runs.
MAX_TOKENS = 8192

#: A message as a client gets it: its reasoning, its content, and name and arguments of its calls.
Parsed = tuple[str, str, list[tuple[str, str]]]


class ParseCheck:
    """Compares how completions were read with how the library parses them. Thread-safe.

    The library is loaded by a thread of its own, and nothing is compared before it is there.
    """

    def __init__(self, vocabulary: Callable[[], Mapping[str, int]]) -> None:
        """Check completions of gpt-oss.

        Args:
            vocabulary: Returns the ids of the tokens by name.
        """
        self._vocabulary = vocabulary
        self._encoding: Any = None
        self._loading: threading.Thread | None = None

    def check(self, request: GenerationRequest, completed: Completed) -> None:
        """Log a warning if the library parses a completion in Harmony as another message."""
        if request.harmony is None:
            return
        if self._encoding is None:
            self._load()
            return
        is_cut_text = isinstance(completed.stopped_by, str)  # the tokens have more text
        if is_cut_text or len(completed.token_ids) > MAX_TOKENS:
            return
        expected = parsed(self._encoding, request, completed)
        if expected is None:
            return
        reader = HarmonyReader(request.harmony, request.offer)
        found = shown(read_message(reader, completed), len(completed.tool_calls))
        if expected != found:
            logger.warning(
                "request %s: openai-harmony parses its completion as %r, and it was read as %r",
                request.request_id,
                expected,
                found,
            )

    def _load(self) -> None:
        """Begin to load the library, once."""
        if self._loading is None:
            self._loading = threading.Thread(target=self._set, name="harmony", daemon=True)
            self._loading.start()

    def _set(self) -> None:
        try:
            self._encoding = harmony_encoding(self._vocabulary())
        except Exception:  # such as a full disk
            logger.warning(
                "openai-harmony cannot be loaded; parses are not compared", exc_info=True
            )


def shown(read: ReadMessage, num_of_mods: int = 0) -> Parsed:
    """Return a message as a client gets it.

    Args:
        read: The message.
        num_of_mods: The calls at its end that mods made, which are left out.
    """
    calls = read.tool_calls[: len(read.tool_calls) - num_of_mods]
    named = [(call.function.name, call.function.arguments) for call in calls]
    return read.reasoning, read.content, named


def parsed(encoding: Any, request: GenerationRequest, completed: Completed) -> Parsed | None:
    """Parse a completion with the library; `None` if it refuses that.

    Args:
        encoding: The library's encoding.
        request: The request.
        completed: Its completion.
    """
    turn = request.harmony
    if turn is None or turn.opened != START:
        return None
    messages = library_messages(encoding, completed.token_ids)
    if messages is None:
        return None
    ended = completed.finish_reason in (FinishReason.STOP, FinishReason.TOOL_CALLS)
    last = completed.token_ids[-1:]
    return as_shown(
        messages, request.offer, is_cut=not ended and last[0] not in turn.tokens.closing
    )


def library_messages(encoding: Any, token_ids: tuple[int, ...]) -> list[tuple[Header, str]] | None:
    """Return the messages that the library finds; `None` if it refuses a completion."""
    from openai_harmony import HarmonyError, Role  # noqa: PLC0415  # slow to import

    try:
        found = encoding.parse_messages_from_completion_tokens(
            token_ids, Role.ASSISTANT, strict=False
        )
    except HarmonyError:
        return None
    return [(_header(message), message.content[0].text) for message in found]


def _header(message: Any) -> Header:
    return Header(
        role=str(message.author.name or message.author.role.value),
        channel=message.channel,
        recipient=message.recipient,
        content_type=message.content_type,
    )


def as_shown(
    messages: list[tuple[Header, str]], offer: ToolOffer | None, *, is_cut: bool
) -> Parsed:
    """Return messages as a client gets them.

    Args:
        messages: Their headers and texts.
        offer: The tools that may be called.
        is_cut: The last one has no end. If it is a call where there may be text, its text is
            content.
    """
    texts: dict[MessageKind, list[str]] = {"reasoning": [], "content": []}
    calls: list[tuple[str, str]] = []
    cut = ""
    for i, (header, text) in enumerate(messages):
        kind = kind_of(header, offer)
        if kind == "call" and is_cut and i == len(messages) - 1:
            only_calls = bool(calls) or (offer is not None and offer.is_required)
            cut = "" if only_calls else text
        elif kind == "call":
            calls.append((called_tool(header, offer) or "", text))
        elif kind in texts and text:
            texts[kind].append(text)
    reasoning, content = (SEPARATOR.join(texts[kind]) for kind in texts)
    return reasoning, content + cut, calls
