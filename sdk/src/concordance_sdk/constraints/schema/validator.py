"""Validation of a finished document, independent of the grammar.

The grammar guarantees a valid document. If it ever fails, by a bug here or in llguidance, the
request ends with an error instead of a document that looks valid.
"""

import functools
import importlib
import json
from typing import Any

from concordance_sdk.constraints.schema.validation_cost import is_bounded

#: Keywords on which validators disagree: they check multiples of decimals with floats.
_NOT_VALIDATED = ("multipleOf",)

#: Number of validators in the cache.
_CACHE_SIZE = 128


def problem_of(schema: str, document: str) -> str | None:
    """Return why a validator rejects a document, or `None`; also `None` if it would take too long.

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
    except (ValueError, OverflowError, RecursionError):  # e.g. nested too deep
        return None
    if error is None or "backtrack" in error.message.lower():
        return None
    if any(word in schema for word in _NOT_VALIDATED):
        return None
    return f"{error.message:.200} (at /{'/'.join(map(str, error.instance_path))})"


@functools.lru_cache(_CACHE_SIZE)
def _validator_of(schema: str) -> Any:
    """Return a validator; `None` if the library rejects the schema, e.g. for a pattern."""
    library: Any = importlib.import_module("jsonschema_rs")  # imported only where it is used
    try:
        return library.validator_for(json.loads(schema), validate_formats=False, retriever=_nothing)
    except (ValueError, TypeError, RecursionError, library.ReferencingError):
        return None


def _nothing(address: str) -> Any:
    """Refuse to fetch any other document."""
    raise ValueError(f"{address} is not fetched")
