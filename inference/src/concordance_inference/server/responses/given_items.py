"""Decodes the `input` of a request into items."""

import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, cast, get_args

from concordance_shared import InvalidRequestError
from concordance_shared.suggestions import did_you_mean, similar_names
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from concordance_inference.server.openai.chat_request import check_arguments
from concordance_inference.server.openai.envelope import check_count
from concordance_inference.server.openai.schemas import MAX_PARTS
from concordance_inference.server.responses.encrypted_content import decoded_reasoning
from concordance_inference.server.responses.errors import EncryptedContentError
from concordance_inference.server.responses.items import (
    FunctionCallItem,
    FunctionOutputItem,
    InputText,
    Item,
    MessageItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
    Role,
    SummaryText,
)
from concordance_inference.server.transport.body import decode_body

#: Types of text in messages; clients send `text`, which is that of chat messages, as well.
_TEXTS = ("input_text", "output_text", "text", "refusal")

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Status = Literal["in_progress", "completed", "incomplete"]

#: Finds a stored item by its id.
FindItem = Callable[[str, str], Item]


class _Head(Struct):
    """What says the type of an item, and the fields that may be long arrays."""

    type: str | None = None
    role: Any = UNSET
    id: Any = UNSET
    content: Raw | UnsetType = UNSET
    output: Raw | UnsetType = UNSET
    summary: Raw | UnsetType = UNSET


class GivenPart(Struct):
    """A part of a message, of an output, or of reasoning."""

    type: str
    text: str | None = None
    refusal: str | None = None


class GivenMessageItem(Struct, kw_only=True):
    """A message."""

    role: str
    content: str | list[GivenPart]
    type: Literal["message"] | None = None
    id: Id | None = None
    status: Status | None = None


class GivenReasoning(Struct, kw_only=True):
    """Reasoning of an earlier response."""

    type: Literal["reasoning"]
    id: Id | None = None
    summary: list[GivenPart] | None = None
    content: list[GivenPart] | None = None
    encrypted_content: str | None = None
    status: Status | None = None


class GivenCall(Struct, kw_only=True):
    """A call of a function, of an earlier response."""

    type: Literal["function_call"]
    call_id: Id
    name: Annotated[str, Meta(max_length=256)]
    arguments: str
    id: Id | None = None
    status: Status | None = None


class GivenOutput(Struct, kw_only=True):
    """What a call of a function returned."""

    type: Literal["function_call_output"]
    call_id: Id
    output: str | list[GivenPart]
    id: Id | None = None
    status: Status | None = None


class GivenReference(Struct, kw_only=True):
    """The item of an earlier response."""

    id: Id
    type: Literal["item_reference"] | None = None


GivenItem = GivenMessageItem | GivenReasoning | GivenCall | GivenOutput | GivenReference

_TYPES: dict[str, type[GivenItem]] = {
    "message": GivenMessageItem,
    "reasoning": GivenReasoning,
    "function_call": GivenCall,
    "function_call_output": GivenOutput,
    "item_reference": GivenReference,
}


def decode_items(given: str | Sequence[Raw], find: FindItem) -> tuple[Item, ...]:
    """Decode and check the `input` of a request.

    Args:
        given: A text, which is a message of the user, or items.
        find: Returns the stored item of an id, for a field that refers to it.

    Raises:
        RequestError: An item is wrong, or refers to one that is not stored; `param` names its
            field.
    """
    if isinstance(given, str):
        return (MessageItem(id=_new_id("msg"), role="user", content=(InputText(given),)),)
    return tuple(_item(raw, f"input[{i}]", find) for i, raw in enumerate(given))


def check_outputs(items: Sequence[Item], before: Sequence[Item]) -> None:
    """Refuse the output of a call that is not in the conversation.

    Args:
        items: The items of the request.
        before: The items of the conversation before them.

    Raises:
        InvalidRequestError: There is one; `param` names it.
    """
    calls = {item.call_id for item in before if isinstance(item, FunctionCallItem)}
    for i, item in enumerate(items):
        if isinstance(item, FunctionCallItem):
            calls.add(item.call_id)
        if isinstance(item, FunctionOutputItem) and item.call_id not in calls:
            raise InvalidRequestError(
                f"input[{i}].call_id: no function_call before it has the call_id "
                f"{item.call_id!r:.80}; send the call, or the previous_response_id of the response "
                "that has it",
                param=f"input[{i}].call_id",
            )


def _item(raw: Raw, at: str, find: FindItem) -> Item:
    head = decode_body(raw, _Head, at=at)
    for name in ("content", "output", "summary"):
        value = getattr(head, name)
        if value is not UNSET:
            check_count(value, f"{at}.{name}", MAX_PARTS)
    given: Any = decode_body(raw, _type_of(head, at), at=at)
    match given:
        case GivenMessageItem():
            return _message(given, at)
        case GivenReasoning():
            return _reasoning(given, at)
        case GivenCall():
            return _call(given, at)
        case GivenOutput():
            return _output(given, at)
        case _:
            return find(cast(GivenReference, given).id, f"{at}.id")


def _type_of(head: _Head, at: str) -> type[GivenItem]:
    """The type of an item; a message and a reference need not say it."""
    name = head.type
    if name is None:
        is_reference = head.role is UNSET and head.content is UNSET and head.id is not UNSET
        name = "item_reference" if is_reference else "message"
    if name not in _TYPES:
        close = similar_names(name, _TYPES)
        raise InvalidRequestError(
            f"{at} is of type {name!r:.60}, which this server does not support; the types are: "
            f"{', '.join(_TYPES)}{did_you_mean(close[:1])}",
            param=f"{at}.type",
        )
    return _TYPES[name]


def _message(given: GivenMessageItem, at: str) -> MessageItem:
    roles = get_args(Role)
    if given.role not in roles:
        raise InvalidRequestError(
            f"{at}.role is {given.role!r:.40}; the roles are: {', '.join(roles)}, and the result "
            "of a function is an item of type function_call_output",
            param=f"{at}.role",
        )
    texts = _texts(given.content, f"{at}.content")
    is_models = given.role == "assistant"
    return MessageItem(
        id=given.id or _new_id("msg"),
        role=cast(Role, given.role),
        status=given.status or "completed",
        content=tuple(OutputText(text=text) if is_models else InputText(text) for text in texts),
    )


def _reasoning(given: GivenReasoning, at: str) -> ReasoningItem:
    content = _texts(given.content or (), f"{at}.content", types=("reasoning_text", "text"))
    summary = _texts(given.summary or (), f"{at}.summary", types=("summary_text",))
    if given.encrypted_content is not None and not content:
        _check_encrypted(given.encrypted_content, f"{at}.encrypted_content")
    return ReasoningItem(
        id=given.id or _new_id("rs"),
        status=given.status or "completed",
        content=tuple(map(ReasoningText, content)),
        summary=tuple(map(SummaryText, summary)),
        encrypted_content=UNSET if given.encrypted_content is None else given.encrypted_content,
    )


def _check_encrypted(encoded: str, at: str) -> None:
    try:
        decoded_reasoning(encoded)
    except ValueError as exc:
        raise EncryptedContentError(
            f"{at}: {exc}; send what this server sent as encrypted_content, or leave the item out",
            param=at,
        ) from exc


def _call(given: GivenCall, at: str) -> FunctionCallItem:
    check_arguments(given.arguments, f"{at}.arguments")
    return FunctionCallItem(
        id=given.id or _new_id("fc"),
        call_id=given.call_id,
        name=given.name,
        arguments=given.arguments,
        status=given.status or "completed",
    )


def _output(given: GivenOutput, at: str) -> FunctionOutputItem:
    texts = _texts(given.output, f"{at}.output")
    return FunctionOutputItem(
        id=given.id or _new_id("fco"),
        call_id=given.call_id,
        output=given.output if isinstance(given.output, str) else tuple(map(InputText, texts)),
        status=given.status or "completed",
    )


def _texts(
    parts: str | Sequence[GivenPart], at: str, *, types: Sequence[str] = _TEXTS
) -> tuple[str, ...]:
    """The texts of parts.

    Raises:
        InvalidRequestError: One is not text.
    """
    if isinstance(parts, str):
        return (parts,)
    for j, part in enumerate(parts):
        if part.type not in types:
            raise InvalidRequestError(
                f"{at}[{j}] is of type {part.type!r:.40}; this model takes text only, in parts of "
                f"type {' or '.join(types)}",
                param=f"{at}[{j}].type",
            )
        if part.text is None and part.refusal is None:
            raise InvalidRequestError(f"{at}[{j}] has no text", param=f"{at}[{j}].text")
    return tuple(part.text or part.refusal or "" for part in parts)


def _new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"
