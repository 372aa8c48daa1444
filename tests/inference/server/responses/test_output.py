"""The events of items, as a reader of reasoning and calls gives their parts."""

import msgspec
import pytest
from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    ContentText,
    ReasoningText,
)
from concordance_inference.generation import TokenLogprobs
from concordance_inference.server.responses.encrypted_content import decoded_reasoning
from concordance_inference.server.responses.output import Output, OutputFields
from openai_types import check_event

PARTS = [
    ReasoningText("so"),
    ReasoningText(" be it"),
    ContentText("I look."),
    CallBegun(0, "call_0", "look_up"),
    CallArguments(0, '{"a"'),
    CallArguments(0, ":1}"),
    CallBegun(1, "call_1", "now"),
    CallArguments(1, "{}"),
]


def played(parts, status="completed", **fields):
    """The events of parts that come one at a time, each checked; and the items."""
    output = Output(OutputFields(key="r", token_bytes=lambda i, at_start=False: b"x", **fields))
    events = [event for part in parts for event in output.add([part])]
    events += output.end(status)
    events = msgspec.json.decode(msgspec.json.encode(events))
    for event in events:
        check_event({**event, "sequence_number": 0})
    return events, output.items


def types(events):
    return [event["type"].removeprefix("response.") for event in events]


def test_reasoning_content_and_calls_are_items_in_their_order():
    events, items = played(PARTS)

    assert types(events) == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert [item.id for item in items] == ["rs_r_0", "msg_r_1", "fc_r_2", "fc_r_3"]
    assert items[0].text == "so be it"
    assert items[2].arguments == '{"a":1}'
    done = [event["item"] for event in events if event["type"].endswith("output_item.done")]
    assert done == msgspec.json.decode(msgspec.json.encode(items))


def test_deltas_join_to_the_text_that_is_done():
    events, _ = played(PARTS)

    for kind, field in (("reasoning_text", "text"), ("output_text", "text")):
        deltas = [event["delta"] for event in events if event["type"] == f"response.{kind}.delta"]
        done = next(event for event in events if event["type"] == f"response.{kind}.done")
        assert "".join(deltas) == done[field]


def test_reasoning_is_a_summary_where_the_request_asks_for_one():
    events, (item,) = played([ReasoningText("so"), ReasoningText(" be it")], has_summary=True)

    assert types(events) == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert ([part.text for part in item.summary], item.content) == (["so be it"], ())


@pytest.mark.parametrize("has_summary", [False, True])
def test_encrypted_content_has_the_reasoning(has_summary):
    _, (item,) = played([ReasoningText("hm")], has_encrypted=True, has_summary=has_summary)

    assert decoded_reasoning(item.encrypted_content) == "hm"


def test_the_last_item_of_an_incomplete_response_is_incomplete():
    _, items = played(PARTS[:4], status="incomplete")

    assert [item.status for item in items] == ["completed", "completed", "incomplete"]


def test_text_after_a_call_is_another_message():
    _, items = played([ContentText("a"), *PARTS[3:5], ContentText("b")])

    assert [type(item).__name__ for item in items] == [
        "MessageItem",
        "FunctionCallItem",
        "MessageItem",
    ]


def test_empty_parts_make_no_items():
    events, items = played([ReasoningText(""), ContentText("")])

    assert (events, items) == ([], ())


def test_logprobs_are_those_of_the_content():
    output = Output(
        OutputFields(key="r", token_bytes=lambda i, at_start=False: bytes([i]), has_logprobs=True)
    )

    def entry(token):
        return TokenLogprobs(token_id=ord(token), logprob=-1.0, top=())

    events = [
        *output.add([ReasoningText("r")], [entry("r")]),
        *output.add([], [entry("a")]),  # held back
        *output.add([ContentText("ab")], [entry("b")]),
        *output.end("completed"),
    ]

    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [entry["token"] for entry in deltas[0]["logprobs"]] == ["a", "b"]
    assert [entry["token"] for entry in output.items[1].content[0].logprobs] == ["a", "b"]


def test_reasoning_with_bytes_that_are_no_character_takes_no_logprobs_of_the_content():
    output = Output(
        OutputFields(key="r", token_bytes=lambda i, at_start=False: bytes([i]), has_logprobs=True)
    )
    entries = [TokenLogprobs(token_id=i, logprob=-1.0, top=()) for i in (0xFF, 97, 10, 98, 0xC3)]
    parts = [ReasoningText("\ufffda"), ContentText("b\ufffd")]
    for _ in output.add(parts, entries):
        pass
    _, message = output.items

    assert [entry["bytes"] for entry in message.content[0].logprobs] == [[98], [0xC3]]
