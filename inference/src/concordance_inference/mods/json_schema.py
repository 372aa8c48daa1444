"""The mod that enforces a request's `response_format`."""

from typing import Annotated

from concordance_sdk import Tokenizer, get_schemas, mod
from concordance_sdk.constraints import Constrained, JsonSchema
from concordance_shared import ConstraintError, ResponseFormat, SchemaError
from msgspec import Meta

from concordance_inference.mods.compiling import COMPILE_S, compile_within
from concordance_inference.time_limit import TimeLimitError

#: The request field that holds the schema.
_PARAM = "response_format.json_schema.schema"


@mod(name="json_schema", max_backtrack=0)
class JsonSchemaMod:
    """Enforces the request's `response_format` with options: `after`, `channel`, `any_space`.

    A `response_format` is enforced without it too. Beside this mod, it is not enforced twice.

    Attributes:
        after (str, at most 512 characters, default ""): The document begins after the first
            occurrence of this text, such as `</think>` for a reasoning model; at the start if it is
            empty.
        channel (str, at most 64 characters, default ""): The document begins where this channel
            does, such as `final`; see Channels. By default `final` for gpt-oss.
        any_space (bool, default False): Allows white space wherever JSON does, and not only in the
            usual places.
    """

    after: Annotated[str, Meta(max_length=512)] = ""
    channel: Annotated[str, Meta(max_length=64)] = ""
    any_space: bool = False

    enforces_response_format = True

    def __init__(self) -> None:
        """Constrain nothing without a `response_format`."""
        self._parts: list[Constrained] = []

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Compile the schema of the request.

        Raises:
            SchemaError: It cannot be enforced, or not be compiled in time.
        """
        response_format = get_schemas().response_format
        if response_format is None or response_format.type == "text":
            return
        try:
            schema = _schema(response_format)
            compile_within(COMPILE_S, lambda: self._compile(schema, tokenizer))
        except (ConstraintError, TimeLimitError) as exc:
            raise SchemaError(
                f"{_PARAM}: {exc}", param=_PARAM, mod="json_schema", event="prepare", step=0
            ) from exc

    def parts(self) -> list[Constrained]:
        """The constraint, if there is one."""
        return self._parts

    def _compile(self, schema: dict[str, object], tokenizer: Tokenizer) -> None:
        document = JsonSchema(schema, any_space=self.any_space)
        constrained = Constrained(document, after=self.after or None, channel=self.channel or None)
        constrained.prepare(tokenizer)
        self._parts = [constrained]


def _schema(response_format: ResponseFormat) -> dict[str, object]:
    """The schema of a form other than plain text.

    Raises:
        ConstraintError: It has none.
    """
    if response_format.type == "json_object":
        return {"type": "object"}
    if response_format.json_schema is None or response_format.json_schema.schema is None:
        raise ConstraintError("a response_format of type 'json_schema' needs one")
    return response_format.json_schema.schema
