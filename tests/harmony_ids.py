"""Completions in Harmony over a small vocabulary: bytes, and the structural tokens."""

import re

from concordance_inference.chat.message_parts import joined
from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.engine.output.text_stream import TextStream
from concordance_inference.generation import Completed
from concordance_inference.harmony.place import START
from concordance_inference.harmony.reader import HarmonyReader
from concordance_inference.harmony.turn import HarmonyTurn
from concordance_inference.harmony.vocabulary import NAMES, harmony_tokens
from concordance_inference.tools.offer import ToolOffer
from concordance_inference.tools.tool_format import GENERIC
from concordance_shared import FinishReason, FunctionSchema, Tool

IDS = {name: 300 + i for i, name in enumerate(NAMES.values())}
TOKENS = harmony_tokens(IDS)
TURN = HarmonyTurn(tokens=TOKENS)
RESERVED = 400
_NAMES = {token_id: name for name, token_id in IDS.items()}
_NAME = re.compile(r"(<\|\w+\|>)")


def offer_of(*names):
    """An offer of tools without parameters."""
    tools = tuple(Tool(function=FunctionSchema(name=name)) for name in names)
    return ToolOffer(tools=tools, indices=tuple(range(len(tools))), format=GENERIC)


OFFER = offer_of("f", "g")


def ids_of(written):
    """The tokens of a completion in which structural tokens are written by name."""
    ids = []
    for piece in _NAME.split(written):
        ids += [IDS[piece]] if piece in IDS else piece.encode()
    return ids


def piece_of(token_id):
    """The bytes of a token; none for one that does not exist."""
    if 0 <= token_id < 256:
        return bytes([token_id])
    return _NAMES.get(token_id, "").encode()


def text_stream(**options):
    """The stream of a completion's text, in which the structural tokens are marked."""
    decoder = BytesDecoder(piece_of, skipped=TOKENS.stop_ids)
    return TextStream(decoder, StopStrings(()), marked=TURN.kept_ids(), **options)


def completed_of(ids, **fields):
    """A completion of these tokens, which ends with `length` unless its last token stops it."""
    stream = text_stream()
    stream.follow(0, ids)
    stops = bool(ids) and ids[-1] in TOKENS.stop_ids
    fields.setdefault("finish_reason", FinishReason.STOP if stops else FinishReason.LENGTH)
    return Completed(
        text=stream.text(),
        marks=stream.marks(),
        token_ids=tuple(ids),
        prompt_tokens=1,
        completion_tokens=len(ids),
        **fields,
    )


def parts_of(ids, sizes=(1,), *, reader=None, **fields):
    """The parts of a completion that is streamed, up to a number of tokens at a time."""
    reader = reader or HarmonyReader(TURN, OFFER)
    stream, parts, count, i = text_stream(), [], 0, 0
    while count < len(ids):
        size = max(1, sizes[i % len(sizes)])
        stream.follow(count, ids[count : count + size])
        count, i = min(len(ids), count + size), i + 1
        if delta := stream.delta(count):
            parts += reader.add(delta)
    if delta := stream.last_delta():
        parts += reader.add(delta)
    return [*parts, *reader.end(completed_of(ids, **fields))]


def shown(message):
    """A message as a tuple: its reasoning, its content, and name and arguments of its calls."""
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls]
    return message.reasoning, message.content, calls


def streamed(ids, sizes=(1,), **fields):
    """A completion that is streamed, as `shown`."""
    return shown(joined(parts_of(ids, sizes, **fields)))


def reader_at(opened=START, offer=OFFER, place="apart"):
    """A reader of a completion that begins at a place."""
    return HarmonyReader(HarmonyTurn(tokens=TOKENS, opened=opened), offer, place)
