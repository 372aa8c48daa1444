"""Recorded conversations, reply by reply, and the policy.

Each reply of a recording is annotated with what the model understood, by question. The scripted
model uses these annotations and nothing else.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import policy
import pytest
from agent import Airline
from concordance_sdk import ConcordanceError, Message, Schemas, Tool
from policy import Ruling
from records import Flight, Reservation

HERE = Path(__file__).parent
TOOLS = msgspec.json.decode((HERE / "tools.json").read_bytes(), type=tuple[Tool, ...])
NOW = datetime(2025, 5, 15, 15, tzinfo=UTC)
RECORDINGS = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((HERE / "conversations").glob("*.json"))
}
ANSWERS = [
    (name, i)
    for name, messages in RECORDINGS.items()
    for i, message in enumerate(messages)
    if message["role"] == "assistant"
]


class Reader:
    """A scripted model with given replies to some questions."""

    def __init__(self, understood, then=""):
        self.waiting = dict(understood)
        self.then = then
        self.asked = None

    def __call__(self, completion):
        """The next token of the reply to the last question, or of free text."""
        said = bytes(completion).decode()
        if not said.startswith("("):
            return self.then.encode()[len(said)] if len(said) < len(self.then) else 256
        name, written = said[1:].partition(")")[0], said.rpartition("): ")[2]
        if not written:
            self.asked = self.waiting.pop(name)
        return ord(f"{self.asked}\n"[len(written)])


def answered(played):
    """A reply in the format of a recording."""
    calls = [[c.function.name, json.loads(c.function.arguments)] for c in played.tool_calls]
    return {"calls": calls} if calls else {"content": played.text}


def recorded(message):
    """The reply in a recording, without the ids of its tool calls."""
    functions = [call["function"] for call in message.get("tool_calls", ())]
    calls = [[function["name"], json.loads(function["arguments"])] for function in functions]
    return {"calls": calls} if calls else {"content": message["content"]}


@pytest.mark.parametrize(("name", "i"), ANSWERS)
def test_reply_equals_the_recorded_one(play, name, i):
    messages = RECORDINGS[name]
    reader = Reader(messages[i]["understood"], then=messages[i].get("content") or "")
    played = play(
        Airline,
        script=reader,
        messages=msgspec.convert(messages[:i], list[Message]),
        schemas=Schemas(tools=TOOLS),
        parameters={"now": NOW},
        max_tokens=1024,
    )

    assert answered(played) == recorded(messages[i])
    assert reader.waiting == {}


def test_request_without_a_tool_ends_with_an_error_that_names_it(play):
    with pytest.raises(ConcordanceError, match="lacks 'get_reservation'"):
        play(
            Airline,
            script=Reader({"wants": "bags"}),
            messages=[Message(role="user", content="How many bags for QKX482?")],
        )


# The policy


def reservation(**fields):
    """An old uninsured reservation in economy, with the given fields changed."""
    return Reservation(
        **{
            "reservation_id": "QKX482",
            "created_at": NOW - timedelta(days=9),
            "cabin": "economy",
            "membership": "regular",
            "has_insurance": False,
            "price": 400,
            "passengers": ("Ada", "Grace"),
            "flights": (Flight("CA101", "2025-06-01"),),
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("fields", "status", "reason", "ruling"),
    [
        ({}, "on time", None, Ruling.REFUSED),
        ({}, "delayed", None, Ruling.REFUSED),
        ({}, "cancelled", None, Ruling.ALLOWED),
        ({}, "flying", None, Ruling.NEEDS_HUMAN),
        ({}, "unknown", None, Ruling.NEEDS_HUMAN),
        ({"cabin": "business"}, "on time", None, Ruling.ALLOWED),
        ({"cabin": "business"}, "landed", None, Ruling.NEEDS_HUMAN),
        ({"has_insurance": True}, "on time", None, Ruling.DEPENDS_ON_REASON),
        ({"has_insurance": True}, "on time", "illness", Ruling.ALLOWED),
        ({"has_insurance": True}, "on time", "other", Ruling.REFUSED),
        ({"created_at": NOW - timedelta(hours=24)}, "on time", None, Ruling.ALLOWED),
        ({"created_at": NOW - timedelta(hours=24, seconds=1)}, "on time", None, Ruling.REFUSED),
    ],
)
def test_cancellation_policy(fields, status, reason, ruling):
    assert policy.cancellation(reservation(**fields), [status], NOW, reason) is ruling


@pytest.mark.parametrize(
    ("fields", "status", "dollars"),
    [
        ({}, "cancelled", 0),
        ({"membership": "silver"}, "cancelled", 200),
        ({"has_insurance": True}, "delayed", 100),
        ({"cabin": "business"}, "on time", 0),
    ],
)
def test_compensation_policy(fields, status, dollars):
    assert policy.compensation(reservation(**fields), [status]) == dollars


def test_basic_economy_cannot_be_changed():
    assert policy.change(reservation(cabin="basic_economy"), ["on time"]) is Ruling.REFUSED
    assert policy.change(reservation(), ["on time"]) is Ruling.ALLOWED
