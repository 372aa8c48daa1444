"""HarmonyReader: reasoning, content and calls of completions, well-formed and not."""

import random

import msgspec
import pytest
from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallEnded,
    ContentText,
    ReasoningText,
)
from concordance_inference.chat.message_reader import read_message
from concordance_inference.completion import CompletionBuilder
from concordance_inference.generation import GenerationRequest
from concordance_inference.harmony.place import Header, Place
from concordance_inference.harmony.reader import HarmonyReader
from concordance_shared import FinishReason, FunctionCall, ToolCall
from harmony_ids import (
    IDS,
    OFFER,
    RESERVED,
    TURN,
    completed_of,
    ids_of,
    offer_of,
    parts_of,
    reader_at,
    shown,
    streamed,
)

ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|channel|>final<|message|>"
NEXT = "<|end|><|start|>assistant"
CALL = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>"
PREAMBLE = "<|channel|>commentary<|message|>"


def read(written, **fields):
    """A completion as it is read whole, which is the same as streamed in pieces of any size."""
    ids = ids_of(written)
    whole = shown(read_message(reader_at(), completed_of(ids, **fields)))
    for sizes in ((1,), (2, 5, 1), (7,)):
        assert streamed(ids, sizes, **fields) == whole
    return whole


def test_channels_are_reasoning_content_and_calls():
    assert read(f"{ANALYSIS}2+2{NEXT}{FINAL}4<|return|>") == ("2+2", "4", [])
    assert read(f"{ANALYSIS}hm{NEXT}{CALL}{{}}<|call|>") == ("hm", "", [("f", "{}")])
    assert read(f"{PREAMBLE}I look.{NEXT}{CALL}{{}}<|call|>") == ("", "I look.", [("f", "{}")])


def test_parts_come_as_the_tokens_do():
    parts = parts_of(ids_of(f"{ANALYSIS}a€{NEXT}{PREAMBLE}b{NEXT}{CALL}{{}}<|call|>"))
    begun = next(part for part in parts if isinstance(part, CallBegun))

    assert parts == [
        ReasoningText("a"),
        ReasoningText("€"),
        ContentText("b"),
        CallBegun(0, begun.id, "f"),
        CallArguments(0, "{"),
        CallArguments(0, "}"),
        CallEnded(0),
    ]
    assert begun.id.startswith("call_")


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>",
        " to=functions.f<|channel|>commentary <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.f<|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.f json<|message|>",
        "<|channel|>commentary to=functions.f code<|message|>",
        "<|channel|>commentary to=functions.f<|message|>",
        "<|channel|>analysis to=functions.f code<|message|>",
        "<|channel|>final to=functions.f<|message|>",
        "<|channel|>commentary to=f<|message|>",
        "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>",
    ],
)
def test_the_recipient_makes_a_call_in_any_channel_and_order(header):
    assert read(f'{header}{{"a": 1}}<|call|>') == ("", "", [("f", '{"a": 1}')])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("<|channel|>commentary to=functions.unknown<|message|>", ("", "{}", [])),
        ("<|channel|>analysis to=python code<|message|>", ("{}", "", [])),
        ("<|channel|>commentary to=browser.search<|message|>", ("", "{}", [])),
        ("<|channel|>commentary to=assistant<|message|>", ("", "{}", [])),
        ("<|channel|>commentary to=all<|message|>", ("", "{}", [])),
        ("<|channel|>musings<|message|>", ("", "{}", [])),
    ],
)
def test_a_message_to_a_tool_that_is_not_offered_is_text_of_its_channel(header, expected):
    assert read(f"{header}{{}}<|call|>") == expected


def test_an_offered_tool_of_another_namespace_is_called_by_its_name():
    ids = ids_of("<|channel|>analysis to=python<|message|>1+1<|call|>")
    reader = reader_at(offer=offer_of("python"))
    assert streamed(ids, reader=reader) == ("", "", [("python", "1+1")])


def test_without_an_offer_nothing_is_a_call():
    assert streamed(ids_of(f"{CALL}{{}}<|call|>"), reader=reader_at(offer=None))[2] == []


# Completions as gpt-oss has written them, which break other readers


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("I can't help\n\nwith that.<|return|>", ("", "I can't help\n\nwith that.", [])),
        ("I can't help<|end|>", ("", "I can't help", [])),
        ("<|channel|>final Hello you<|return|>", ("", "Hello you", [])),
        ("<|channel|>finalHello you<|return|>", ("", "Hello you", [])),
        (f"{FINAL}hi<|end|><|return|>", ("", "hi", [])),
        (f"{FINAL}hi<|endoftext|>", ("", "hi", [])),
        (f"{ANALYSIS}a<|end|><|start|><|start|>assistant{FINAL}b<|return|>", ("a", "b", [])),
        (f"{ANALYSIS}a<|end|><|start|>assistantassistant{FINAL}b<|return|>", ("a", "b", [])),
        (f"<|start|>assistant{FINAL}b<|return|>", ("", "b", [])),
        (f"assistant{FINAL}b<|return|>", ("", "b", [])),
        (f"{ANALYSIS}a<|end|>assistant{FINAL}b<|return|>", ("a", "b", [])),
        (f"{ANALYSIS}a<|end|>{FINAL}b<|return|>", ("a", "b", [])),
        (f"{ANALYSIS}a{FINAL}b<|return|>", ("a", "b", [])),
        (f"{ANALYSIS}a<|start|>assistant{FINAL}b<|return|>", ("a", "b", [])),
        (f"{ANALYSIS}a<|end|><|start|>assistantfinal<|message|>b<|return|>", ("a", "b", [])),
        ("<|channel|>final <|constrain|>json<|message|>{}<|return|>", ("", "{}", [])),
        ("<|constrain|>json<|message|>{}<|return|>", ("", "{}", [])),
        ("<|channel|>final json<|message|>{}<|return|>", ("", "{}", [])),
        ("<|channel|><|message|>b<|return|>", ("", "b", [])),
        ("<|message|>b<|return|>", ("", "b", [])),
        (f"{FINAL}a<|message|>b<|return|>", ("", "ab", [])),
        (f"{FINAL}a<|constrain|>b<|return|>", ("", "ab", [])),
        (f"{FINAL}a<|end|>more<|return|>", ("", "a\n\nmore", [])),
        (f"{ANALYSIS}a<|end|><|start|>banana{FINAL}b<|return|>", ("a", "b", [])),
        ("<|return|>", ("", "", [])),
        (f"{CALL}{{}}<|return|>", ("", "", [("f", "{}")])),
        (f"{CALL}{{}}<|end|>", ("", "", [("f", "{}")])),
        (f"{CALL}{{}}<|endoftext|>", ("", "", [("f", "{}")])),
        (f"{CALL}{{}}{NEXT}{CALL}[]<|call|>", ("", "", [("f", "{}"), ("f", "[]")])),
        (f"{CALL}{{}}{NEXT}{FINAL}hi<|return|>", ("", "hi", [("f", "{}")])),
    ],
)
def test_malformed_completions_keep_their_text(written, expected):
    assert read(written) == expected


def test_what_the_model_writes_in_the_name_of_others_is_left_out():
    written = f"{FINAL}hi<|end|><|start|>user<|message|>thanks{NEXT}{FINAL}bye<|return|>"
    assert read(written) == ("", "hi\n\nbye", [])
    tool = "<|start|>functions.f to=assistant<|channel|>commentary<|message|>42"
    assert read(f"{CALL}{{}}<|end|>{tool}<|end|>") == ("", "", [("f", "{}")])


def test_a_long_text_without_a_header_is_streamed_before_its_end():
    ids = ids_of("word " * 300)
    parts = parts_of(ids)

    assert "".join(part.text for part in parts) == "word " * 300
    assert len(parts) > 900


@pytest.mark.parametrize("place", ["", ANALYSIS + "a<|end|>"])
def test_a_header_that_is_too_long_is_content_however_it_is_streamed(place):
    ids = ids_of(place + "  <|start|>assistant" + "ö" * 600 + "<|return|>")
    whole = shown(read_message(reader_at(), completed_of(ids)))
    assert whole[1] == "ö" * 600
    for sizes in ((1,), (3, 400), (10,)):
        assert streamed(ids, sizes) == whole


# Cuts


def test_a_cut_anywhere_keeps_what_was_written_before():
    written = f"{ANALYSIS}ab{NEXT}{PREAMBLE}c€{NEXT}{CALL}{{}}{NEXT}{FINAL}d<|return|>"
    ids = ids_of(written)
    for cut in range(len(ids) + 1):
        reasoning, content, _ = streamed(ids[:cut])
        assert shown(read_message(reader_at(), completed_of(ids[:cut])))[:2] == (reasoning, content)
        assert "ab".startswith(reasoning)
        assert content.replace("\ufffd", "").replace("{", "").replace("}", "") in (
            "", "c", "c€", "c€\n\nd"
        )  # fmt: skip


def test_a_cut_within_a_header_adds_nothing():
    for cut in (
        "<|end|>",
        "<|end|><|start|>",
        f"{NEXT}",
        f"{NEXT}<|channel|>",
        f"{NEXT}{FINAL[:-11]}",
    ):
        assert read(ANALYSIS + "a" + cut) == ("a", "", [])
    assert read("<|channel|>fin") == ("", "", [])
    assert read(" to=functions.f") == ("", "", [])
    assert read("") == ("", "", [])


def test_a_cut_text_without_a_header_is_content():
    assert read("I can't hel") == ("", "I can't hel", [])
    assert read("t") == ("", "t", [])


@pytest.mark.parametrize("recipient", [" ", " t", " to", " to="])
def test_a_cut_recipient_is_of_a_header(recipient):
    assert read(recipient) == ("", "", [])


@pytest.mark.parametrize("end", [{}, {"finish_reason": FinishReason.STOP, "stopped_by": "x"}])
def test_a_cut_call_is_no_call(end):
    assert read(f'{CALL}{{"a": 1', **end) == ("", '{"a": 1', [])
    assert read(f'{CALL}{{}}{NEXT}{CALL}{{"a"', **end) == ("", "", [("f", "{}")])


def test_a_required_call_that_is_cut_leaves_no_content():
    required = msgspec.structs.replace(OFFER, is_required=True)
    ids = ids_of(f'{ANALYSIS}hm{NEXT}{CALL}{{"a": 1')

    for cut in range(len(ids) + 1):
        message = read_message(HarmonyReader(TURN, required), completed_of(ids[:cut]))
        assert (message.content, message.tool_calls) == ("", ())


def test_a_stop_without_a_token_of_the_model_ends_a_call():
    ended = {"finish_reason": FinishReason.STOP}
    assert read(f"{CALL}{{}}", **ended) == ("", "", [("f", "{}")])
    assert read(f"{FINAL}hi", **ended) == ("", "hi", [])


# Where the completion begins, and where its reasoning is sent


@pytest.mark.parametrize(
    ("header", "written", "expected"),
    [
        (Header(channel="final"), "4<|return|>", ("", "4", [])),
        (Header(channel="analysis"), f"2+2{NEXT}{FINAL}4<|return|>", ("2+2", "4", [])),
        (
            Header(channel="commentary", recipient="functions.f"),
            "{}<|call|>",
            ("", "", [("f", "{}")]),
        ),
    ],
)
def test_a_completion_that_begins_within_a_message_continues_it(header, written, expected):
    opened = Place(kind="content", header=header, num_messages=1, salvaged="before")
    assert streamed(ids_of(written), reader=reader_at(opened)) == expected
    assert shown(read_message(reader_at(opened), completed_of(ids_of(written)))) == expected


SAID = f"{ANALYSIS}a{NEXT}{PREAMBLE}b{NEXT}{ANALYSIS}c{NEXT}{FINAL}d<|return|>"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("apart", ("a\n\nc", "b\n\nd", [])),
        ("apart at once", ("a\n\nc", "b\n\nd", [])),
        ("nowhere", ("", "b\n\nd", [])),
        ("content", ("", SAID.removesuffix("<|return|>"), [])),
    ],
)
def test_the_reasoning_is_sent_where_the_request_says(place, expected):
    for sizes in ((1,), (3,)):
        assert streamed(ids_of(SAID), sizes, reader=reader_at(place=place)) == expected
    assert shown(read_message(reader_at(place=place), completed_of(ids_of(SAID)))) == expected


def test_reasoning_at_once_is_one_part():
    reader = reader_at(place="apart at once")
    parts = parts_of(ids_of(f"{ANALYSIS}abc{NEXT}{FINAL}d<|return|>"), reader=reader)
    assert parts == [ReasoningText("abc"), ContentText("d")]


def test_reasoning_in_the_content_leaves_calls_apart():
    reader = reader_at(place="content")
    found = streamed(ids_of(f"{ANALYSIS}a{NEXT}{CALL}{{}}<|call|>"), reader=reader)
    assert found == ("", f"{ANALYSIS}a<|end|>", [("f", "{}")])


def test_calls_of_mods_follow_those_of_the_model():
    made = ToolCall(id="x", function=FunctionCall(name="g", arguments="[]"))
    assert read(f"{CALL}{{}}<|call|>", tool_calls=(made,))[2] == [("f", "{}"), ("g", "[]")]


def test_a_completion_in_python_has_the_parts_of_its_message():
    request = GenerationRequest(request_id="r", prompt_ids=(1,), harmony=TURN, offer=OFFER)
    builder = CompletionBuilder(request)
    written = f"{ANALYSIS}a{NEXT}{PREAMBLE}b{NEXT}{CALL}{{}}<|call|>"
    builder.add(completed_of(ids_of(written)))
    completion = builder.completion

    assert completion.text == written.removesuffix("<|call|>")
    assert (completion.reasoning, completion.content) == ("a", "b")
    assert [call.function.name for call in completion.tool_calls] == ["f"]
    assert completion.finish_reason is FinishReason.TOOL_CALLS


# Everything


def test_no_completion_of_any_tokens_is_an_error_or_depends_on_how_it_is_streamed():
    rng = random.Random(1)
    some = [*IDS.values(), RESERVED, 10**9, -1, 0xC3, *b" =\n"]
    words = [
        b"analysis",
        b"final",
        b"commentary",
        b"assistant",
        b"to=functions.f",
        b"user",
        b"json",
    ]
    for _ in range(2000):
        ids = []
        for _ in range(rng.randrange(24)):
            ids += rng.choice(words) if rng.random() < 0.3 else [rng.choice(some)]
        end = rng.choice([{}, {"finish_reason": FinishReason.STOP}])
        sizes = [rng.randrange(1, 9) for _ in range(5)]
        place = rng.choice(["apart", "content", "nowhere", "apart at once"])
        whole = read_message(reader_at(place=place), completed_of(ids, **end))
        assert streamed(ids, sizes, reader=reader_at(place=place), **end) == shown(whole)


def test_offer_has_the_tools_of_these_tests():
    assert [*OFFER.by_name] == ["f", "g"]
