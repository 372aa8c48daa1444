"""Fields of a request that ask for a format of its completion, in our spelling and in vLLM's."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from concordance_shared import InvalidRequestError, ResponseFormat
from msgspec import Meta, Struct

from concordance_inference.output_format import OutputFormat, format_of

Schema = dict[str, Any] | str
Choices = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=4096)]

Kind = Literal["json", "regex", "grammar", "choice"]

#: Each is a field of `structured_outputs`, and with the prefix `guided_` one of a request.
_KINDS: tuple[Kind, ...] = ("json", "regex", "grammar", "choice")


class StructuredOutputs(Struct, kw_only=True, forbid_unknown_fields=True):
    """The field `structured_outputs`, which vLLM introduced."""

    json: Schema | None = None
    json_object: bool | None = None
    regex: str | None = None
    choice: Choices | None = None
    grammar: str | None = None
    disable_any_whitespace: bool | None = None  # there is none beside that of `json.dumps`
    disable_fallback: bool | None = None
    disable_additional_properties: Literal[False] | None = None


class OutputFields(Struct, kw_only=True):
    """The fields beside `response_format`, at most one of which may be set."""

    regex: str | None = None
    grammar: str | None = None
    choice: Choices | None = None
    guided_json: Schema | None = None
    guided_regex: str | None = None
    guided_grammar: str | None = None
    guided_choice: Choices | None = None
    structured_outputs: StructuredOutputs | None = None


def output_format(
    fields: OutputFields, response_format: ResponseFormat | None
) -> OutputFormat | None:
    """Return the format that a request asks for, in whichever field.

    Raises:
        InvalidRequestError: Two fields ask for one.
    """
    response = format_of(response_format)
    asked = [*([response] if response else ()), *_asked(fields)]
    if len(asked) > 1:
        first, second = map(_place, asked[:2])
        raise InvalidRequestError(
            f"{first} and {second} both ask for a format of the completion, which has one; leave "
            "out one of them",
            param=second,
        )
    return asked[0] if asked else None


def _place(output: OutputFormat) -> str:
    return output.field if output.field == "response_format" else output.param


def _asked(fields: OutputFields) -> Iterator[OutputFormat]:
    for kind in _KINDS:
        for field in (kind, f"guided_{kind}"):
            if _is_set(value := getattr(fields, field, None)):
                yield OutputFormat(kind=kind, value=value, param=field)
    if fields.structured_outputs is not None:
        yield from _structured(fields.structured_outputs)


def _structured(fields: StructuredOutputs) -> Iterator[OutputFormat]:
    for kind in _KINDS:
        if _is_set(value := getattr(fields, kind)):
            yield OutputFormat(kind=kind, value=value, param=f"structured_outputs.{kind}")
    if fields.json_object:
        at = "structured_outputs.json_object"
        yield OutputFormat(kind="json", value={"type": "object"}, param=at)


def _is_set(value: object) -> bool:
    """True unless a value is null, or an empty text, which llama.cpp's clients send."""
    return value is not None and value != ""
