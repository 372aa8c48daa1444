"""Checks bodies and events against the types of the `openai` package, strictly."""

import json
import typing
from functools import lru_cache

import openai.types.responses as types
from openai import BaseModel
from openai.types.responses.response_item_list import ResponseItemList
from pydantic import TypeAdapter

#: Fields that OpenAI's API sends, and the Open Responses specification demands, but which the
#: package's type of a response lacks.
OTHER_FIELDS = {"store", "presence_penalty", "frequency_penalty"}

EVENTS = {
    typing.get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in typing.get_args(typing.get_args(types.ResponseStreamEvent)[0])
}


def check_response(body):
    return _check(types.Response, body)


def check_item_list(body):
    return _check(ResponseItemList, body)


def check_event(event):
    return _check(EVENTS[event["type"]], event)


def events_of(text):
    """The events of a stream, each of which is checked."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    events = []
    for block in blocks:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        check_event(event)
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(
        range(events[0]["sequence_number"], events[0]["sequence_number"] + len(events))
    )
    return events


@lru_cache
def _adapter(kind):
    return TypeAdapter(kind)


def _check(kind, data):
    model = _adapter(kind).validate_python(data)
    unknown = [path for path in _unknown(model, "$") if not path.endswith(".concordance")]
    responses = {"$", "$.response"}
    unknown = [
        path
        for path in unknown
        if path.rpartition(".")[0] not in responses or path.rpartition(".")[2] not in OTHER_FIELDS
    ]
    assert not unknown, unknown
    return model


def _unknown(value, at):
    """The paths of fields that the types do not have."""
    if isinstance(value, BaseModel):
        yield from (f"{at}.{name}" for name in value.__pydantic_extra__ or ())
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name), f"{at}.{name}")
    elif isinstance(value, list | tuple):
        for i, entry in enumerate(value):
            yield from _unknown(entry, f"{at}[{i}]")
