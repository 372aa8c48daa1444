"""The mod that keeps an answer to the form that its request asks for."""

from typing import Annotated

from concordance_sdk import (
    Action,
    Actions,
    Added,
    ForwardPass,
    Tokenizer,
    get_schemas,
    mod,
)
from concordance_sdk.constraints import Constrained, JsonSchema
from concordance_shared import ConstraintError, ResponseFormat, SchemaError
from msgspec import Meta

from concordance_inference.mods.compiling import compile_within
from concordance_inference.time_limit import TimeLimitError

#: How long a schema may take to compile, in seconds.
COMPILE_S = 4.0

#: How many tokens may be taken back to begin behind a text that ends inside one.
_MAX_SPLIT = 4

#: The field of a request that its schema stands in.
_PARAM = "response_format.json_schema.schema"


@mod(name="json_schema", max_backtrack=_MAX_SPLIT)
class JsonSchemaMod:
    """Enforces the request's `response_format`: a JSON object, or a document of a JSON Schema.

    `after`: the answer begins behind the first place where this text stands, as `</think>` for a
    model that reasons; at once if it is empty. `any_space`: white space may stand wherever JSON
    allows it, and not only where it usually does.
    """

    after: Annotated[str, Meta(max_length=512)] = ""
    any_space: bool = False

    def __init__(self) -> None:
        """Constrain nothing before the request's form is known."""
        self._constrained: Constrained | None = None

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Read the form that is asked for and compile it.

        Raises:
            SchemaError: It cannot be enforced, or not be compiled in time.
        """
        asked = get_schemas().response_format
        if asked is None or asked.type == "text":
            return
        try:
            schema = _schema(asked)
            compile_within(COMPILE_S, lambda: self._compile(schema, tokenizer))
        except (ConstraintError, TimeLimitError) as exc:
            raise SchemaError(
                f"{_PARAM}: {exc}", param=_PARAM, mod="json_schema", event="prepare", step=0
            ) from exc

    def _compile(self, schema: dict[str, object], tokenizer: Tokenizer) -> None:
        document = JsonSchema(schema, any_space=self.any_space)
        self._constrained = Constrained(document, after=self.after or None)
        self._constrained.prepare(tokenizer)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force what must come, and mask what may not."""
        return self._constrained and self._constrained.forward_pass(event, actions, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Follow what was written."""
        return self._constrained and self._constrained.added(event, actions, tokenizer)


def _schema(asked: ResponseFormat) -> dict[str, object]:
    """The schema of a form that is not plain text.

    Raises:
        ConstraintError: It has none.
    """
    if asked.type == "json_object":
        return {"type": "object"}
    if asked.json_schema is None or asked.json_schema.schema is None:
        raise ConstraintError("a response_format of type 'json_schema' needs one")
    return asked.json_schema.schema
