"""A second look at a finished document, by a validator that knows nothing of the grammar.

What is written follows the schema by construction. Should that ever fail, by a fault of ours or of
llguidance's, the request ends with an error and not with a document that looks right.
"""

import functools
import importlib
import json
from typing import Any

from concordance_sdk.constraints.schema.effort import is_bounded

#: Formats are judged by no two validators alike, and multiples of decimals by floats.
_NOT_JUDGED = ("multipleOf",)

#: For how many schemas a validator is kept.
_REMEMBERED = 128


def problem_of(schema: str, document: str) -> str | None:
    """Why a validator rejects a document; `None` if it does not, or cannot judge it soon.

    Args:
        schema: The schema, as JSON text.
        document: The document, as JSON text.

    Examples:
        >>> problem_of('{"type": "integer"}', "3") is None
        True
    """
    try:
        value = json.loads(document)
        validator = _validator_of(schema) if is_bounded(schema, value) else None
        if validator is None:
            return None
        error = next(iter(validator.iter_errors(value)), None)
    except (ValueError, OverflowError, RecursionError):  # nested deeper than it can read
        return None
    if error is None or "backtrack" in error.message.lower():
        return None
    if any(word in schema for word in _NOT_JUDGED):
        return None
    return f"{error.message:.200} (at /{'/'.join(map(str, error.instance_path))})"


@functools.lru_cache(_REMEMBERED)
def _validator_of(schema: str) -> Any:
    """A validator of a schema; `None` where it has none, as for patterns that it cannot read."""
    library: Any = importlib.import_module("jsonschema_rs")  # nobody else pays for it
    try:
        return library.validator_for(json.loads(schema), validate_formats=False, retriever=_nothing)
    except (ValueError, TypeError, RecursionError, library.ReferencingError):
        return None


def _nothing(address: str) -> Any:
    """Fetch no document, wherever it lies."""
    raise ValueError(f"{address} is not fetched")
