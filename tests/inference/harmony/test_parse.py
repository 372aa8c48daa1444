"""Completions as openai-harmony parses them, and as the reader reads them, over the real ids."""

import base64
import random
import re

import msgspec
import o200k
import pytest
from concordance_inference.chat.message_parts import joined
from concordance_inference.chat.message_reader import read_message
from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.engine.output.text_stream import TextStream
from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.harmony.counts import num_analysis_tokens
from concordance_inference.harmony.encoding import harmony_encoding
from concordance_inference.harmony.parse import MAX_TOKENS, ParseCheck, parsed, shown
from concordance_inference.harmony.reader import HarmonyReader
from concordance_inference.harmony.turn import HarmonyTurn
from concordance_inference.harmony.vocabulary import harmony_tokens
from concordance_shared import FinishReason
from harmony_ids import offer_of

OFFER = offer_of("get_weather", "f")
IDS = {name: token_id for token_id, name in o200k.SPECIAL.items()}
TOKENS = harmony_tokens(IDS)
TURN = HarmonyTurn(tokens=TOKENS)


@pytest.fixture(scope="module", name="encoding")
def _encoding():
    return harmony_encoding(o200k.vocabulary())


@pytest.fixture(scope="module", name="token_bytes")
def _token_bytes():
    lines = (line.split() for line in o200k.tiktoken_file().splitlines())
    table = {int(rank): base64.b64decode(text) for text, rank in lines}
    table |= {token_id: name.encode() for token_id, name in o200k.SPECIAL.items()}
    return lambda token_id: table.get(token_id, b"")


def ids_of(encoding, written):
    """The ids of a completion in which structural tokens are written by name."""
    pieces = re.split(r"(<\|\w+\|>)", written)
    encoded = ([IDS[p]] if p in IDS else encoding.encode(p, disallowed_special=()) for p in pieces)
    return [token_id for ids in encoded for token_id in ids]


PIECES = [
    "Hello",
    " world",
    "\n\n",
    "é",
    "日本語",
    "🙂👩‍👩‍👧",
    ' {"a": [1]}',
    "<|end|>",
    " to=x",
    "1+1",
]
CHANNELS = ["analysis", "commentary", "final"]
TYPES = ["", " <|constrain|>json", "<|constrain|>json", " json", " code"]


class Completions:
    """Random well-formed completions, in every form of header."""

    def __init__(self, encoding, seed):
        self.rng = random.Random(seed)
        self.encode = lambda written: ids_of(encoding, written)
        self.plain = lambda text: encoding.encode(text, disallowed_special=())

    def header(self):
        to = self.rng.choice(["", "", " to=functions.f", " to=functions.get_weather", " to=python"])
        channel = f"<|channel|>{self.rng.choice(CHANNELS)}"
        content_type = self.rng.choice(TYPES) if to else ""
        first, second = self.rng.sample([channel, to], 2)
        return f"{first}{second}{content_type}<|message|>"

    def ids(self):
        ids, last = [], self.rng.randrange(1, 5)
        for i in range(last):
            ids += self.encode(self.header())
            ids += self.plain("".join(self.rng.choices(PIECES, k=self.rng.randrange(12))))
            if i < last - 1:
                ids += self.encode("<|end|><|start|>assistant")
        return ids + self.encode(self.rng.choice(["<|return|>", "<|call|>", "<|end|>", ""]))


def request_of(offer=OFFER, **fields):
    return GenerationRequest(request_id="r1", prompt_ids=(1,), harmony=TURN, offer=offer, **fields)


def completed_of(ids, token_bytes, text=None):
    stream = stream_of(token_bytes)
    stream.follow(0, ids)
    stops = ids[-1] in TOKENS.stop_ids
    return Completed(
        text=stream.text() if text is None else text,
        marks=stream.marks(),
        token_ids=tuple(ids),
        finish_reason=FinishReason.STOP if stops else FinishReason.LENGTH,
        prompt_tokens=1,
        completion_tokens=len(ids),
    )


def stream_of(token_bytes):
    decoder = BytesDecoder(token_bytes, skipped=TOKENS.stop_ids)
    return TextStream(decoder, StopStrings(()), marked=TURN.kept_ids())


def streamed(ids, token_bytes, offer=OFFER):
    """What a client of a stream gets, token by token."""
    reader, stream, parts = HarmonyReader(TURN, offer), stream_of(token_bytes), []
    for i, token_id in enumerate(ids):
        stream.follow(i, [token_id])
        if delta := stream.delta(i + 1):
            parts += reader.add(delta)
    if delta := stream.last_delta():
        parts += reader.add(delta)
    return shown(joined([*parts, *reader.end(completed_of(ids, token_bytes))]))


@pytest.mark.parametrize("seed", range(6))
def test_what_is_streamed_is_what_the_library_parses(encoding, token_bytes, seed):
    completions, offer = (
        Completions(encoding, seed),
        msgspec.structs.replace(OFFER, is_required=seed % 2 == 1),
    )
    for _ in range(400):
        ids = completions.ids()
        expected = parsed(encoding, request_of(offer), completed_of(ids, token_bytes))
        assert streamed(ids, token_bytes, offer) == expected


CALL = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"


@pytest.mark.parametrize(
    ("before", "is_required", "content"),
    [("", False, "{"), ("", True, ""), (CALL + "}<|end|><|start|>assistant", False, "")],
)
def test_a_call_that_is_cut_is_content_only_where_text_may_be(
    encoding, token_bytes, before, is_required, content
):
    ids, offer = (
        ids_of(encoding, before + CALL),
        msgspec.structs.replace(OFFER, is_required=is_required),
    )

    expected = parsed(encoding, request_of(offer), completed_of(ids, token_bytes))
    assert streamed(ids, token_bytes, offer) == expected
    assert expected[1] == content


@pytest.mark.parametrize("is_required", [False, True])
def test_a_cut_call_is_content_only_where_text_is_possible(encoding, token_bytes, is_required):
    offer = msgspec.structs.replace(OFFER, is_required=is_required)
    text = '<|channel|>commentary to=functions.f<|message|>{"x'
    request, done = request_of(), completed_of(ids_of(encoding, text), token_bytes)
    request = msgspec.structs.replace(request, offer=offer)

    expected = ("", "" if is_required else '{"x', [])
    assert parsed(encoding, request, done) == expected
    assert shown(read_message(HarmonyReader(TURN, offer), done)) == expected


def test_the_library_refuses_what_the_reader_reads(encoding, token_bytes):
    ids = ids_of(encoding, "I can't help.<|channel|>final")
    assert parsed(encoding, request_of(), completed_of(ids, token_bytes)) is None


def test_random_ids_of_the_vocabulary_and_beyond_are_no_error(token_bytes):
    rng, special = random.Random(5), [*o200k.SPECIAL, 199998, 200500, 201087, 201088, 10**7, -1]
    for _ in range(2000):
        some = [rng.choice(special) if rng.random() < 0.5 else rng.randrange(-5, 202000)
                for _ in range(rng.randrange(1, 20))]  # fmt: skip
        assert streamed(some, token_bytes)
        assert num_analysis_tokens(some, TURN, OFFER, token_bytes) <= len(some)


def test_reasoning_tokens_are_those_of_analysis_without_headers(encoding, token_bytes):
    written = (
        "<|channel|>analysis<|message|>one two three<|end|><|start|>assistant"
        "<|channel|>analysis to=functions.f<|message|>{}<|end|><|start|>assistant"
        "<|channel|>final<|message|>four<|return|>"
    )
    ids = ids_of(encoding, written)
    assert num_analysis_tokens(ids, TURN, OFFER, token_bytes) == 3
    assert num_analysis_tokens(ids, TURN, None, token_bytes) == 4  # then it is no call


@pytest.fixture(name="checked")
def _checked(encoding):
    check = ParseCheck(o200k.vocabulary)
    check._encoding = encoding  # as its thread sets it
    return check


def test_a_completion_that_is_read_otherwise_is_logged(checked, encoding, token_bytes, caplog):
    ids = ids_of(encoding, "<|channel|>final<|message|>4<|return|>")
    done = completed_of(ids, token_bytes)
    checked.check(request_of(), done)
    assert not caplog.records
    checked.check(request_of(), msgspec.structs.replace(done, marks=()))
    assert "request r1: openai-harmony parses its completion as" in caplog.text


def test_what_the_library_refuses_and_long_completions_are_not_compared(
    checked, encoding, token_bytes, caplog
):
    refused = completed_of(encoding.encode("Sorry"), token_bytes)
    checked.check(request_of(), refused)
    long = ids_of(encoding, "<|channel|>final<|message|>") + [220] * MAX_TOKENS
    checked.check(request_of(), completed_of(long, token_bytes, "other"))
    assert not caplog.records


def test_a_text_that_a_stop_string_cuts_is_not_compared(checked, encoding, token_bytes, caplog):
    ids = ids_of(encoding, "<|channel|>final<|message|>one two")
    done = completed_of(ids, token_bytes, "<|channel|>final<|message|>one")
    checked.check(request_of(), msgspec.structs.replace(done, stopped_by=" two"))
    assert not caplog.records


def test_the_library_is_loaded_in_the_background(token_bytes, monkeypatch):
    loaded = object()
    monkeypatch.setattr("concordance_inference.harmony.parse.harmony_encoding", lambda _: loaded)
    check = ParseCheck(dict)
    check.check(request_of(), completed_of([220], token_bytes))
    check._loading.join(10)
    assert check._encoding is loaded


def test_completions_are_served_where_the_library_cannot_be_loaded(token_bytes, caplog):
    def broken():
        raise OSError("disk full")

    check = ParseCheck(broken)
    for _ in range(2):
        check.check(request_of(), completed_of([220], token_bytes))
        check._loading.join(10)
    assert caplog.text.count("openai-harmony cannot be loaded") == 1
