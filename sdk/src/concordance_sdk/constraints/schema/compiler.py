"""Compiles a schema to the grammar of its documents."""

import functools
import json

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema.budget import Budget
from concordance_sdk.constraints.schema.definitions import Definitions, Spaces
from concordance_sdk.constraints.schema.document import Document
from concordance_sdk.constraints.schema.keyed import KeyedSpelling, KeyedWriter, MemberKinds
from concordance_sdk.constraints.schema.meaning import Meaning
from concordance_sdk.constraints.schema.reachable import with_location
from concordance_sdk.constraints.schema.shapes import ANYTHING
from concordance_sdk.constraints.schema.writer import Writer

#: Limits of compilation, in steps and in seconds of CPU time.
_STEPS = 400_000
_SECONDS = 5.0

#: Maximum nesting depth of rules and parentheses. llguidance uses up to 2 KiB of stack per level,
#: and a thread has 8 MiB.
_MAX_DEPTH = 2000

#: White space of JSON values among members that are written one by one.
_JSON_SPACES = Spaces('", "', '": "')

#: Number of compiled schemas in the cache.
_CACHE_SIZE = 256


def _checked(definitions: Definitions) -> Definitions:
    """Reject a grammar that would overflow the stack of llguidance's parser.

    Raises:
        ConstraintError: It nests too deep.
    """
    if definitions.depth() > _MAX_DEPTH:
        raise ConstraintError(
            "its objects have too many optional members in a row, nested in each other; list them "
            "in 'required', or remove some"
        )
    return definitions


@functools.lru_cache(_CACHE_SIZE)
def definitions_of(schema: str, spaces: Spaces) -> Definitions:
    """Compile a schema, cached.

    Args:
        schema: The schema, as JSON text.
        spaces: The punctuation and white space between the parts of a document.

    Raises:
        ConstraintError: It is not a schema, cannot be enforced, or no finite document matches it.
    """
    try:
        document = Document(json.loads(schema))
        meaning = Meaning(document, Budget(_STEPS, _SECONDS))
        root = ANYTHING if document.root == 0 else frozenset({(document.root, True)})
        return _checked(Writer(meaning, root, spaces).write())
    except ConstraintError as exc:
        raise with_location(exc, "#") from exc
    except RecursionError as exc:
        raise ConstraintError(
            "its schemas reference each other too often; make it smaller (at #)"
        ) from exc


@functools.lru_cache(_CACHE_SIZE)
def keyed_definitions_of(
    schema: str, spelling: KeyedSpelling
) -> tuple[Definitions, dict[str, MemberKinds]]:
    """Compile the schema of an object whose members are written one by one, cached.

    Args:
        schema: The schema, as JSON text.
        spelling: The texts around the members.

    Returns:
        The grammar, and the kinds of values of each key.

    Raises:
        ConstraintError: It is not a schema, cannot be enforced, or no finite object matches it.
    """
    try:
        document = Document(json.loads(schema))
        meaning = Meaning(document, Budget(_STEPS, _SECONDS))
        root = frozenset({(document.root, True)})
        writer = KeyedWriter(meaning, root, _JSON_SPACES, spelling)
        return _checked(writer.write()), writer.kinds()
    except ConstraintError as exc:
        raise with_location(exc, "#") from exc
    except RecursionError as exc:
        raise ConstraintError(
            "its schemas reference each other too often; make it smaller (at #)"
        ) from exc
