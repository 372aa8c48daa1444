"""Compiles a schema to the grammar of its documents."""

import functools
import json

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema.budget import Budget
from concordance_sdk.constraints.schema.definitions import Definitions, Spaces
from concordance_sdk.constraints.schema.document import Document
from concordance_sdk.constraints.schema.meaning import Meaning
from concordance_sdk.constraints.schema.shapes import ANYTHING
from concordance_sdk.constraints.schema.writer import Writer, placed

#: How much work a schema may make, and for how many seconds.
_STEPS = 400_000
_SECONDS = 5.0

#: How deep rules and brackets nest. llguidance takes up to 2 KiB of the stack for each, and a
#: thread has 8 MiB.
_MAX_DEPTH = 2000

#: For how many schemas the grammar is remembered.
_REMEMBERED = 256


def _checked(definitions: Definitions) -> Definitions:
    """A grammar that does not overflow the stack when it is read.

    Raises:
        ConstraintError: It would.
    """
    if definitions.depth() > _MAX_DEPTH:
        raise ConstraintError(
            "its objects have too many optional members, one behind the other and nested in each "
            "other; list them in 'required', or leave some out"
        )
    return definitions


@functools.lru_cache(_REMEMBERED)
def definitions_of(schema: str, spaces: Spaces) -> Definitions:
    """The grammar of the documents that follow a schema.

    Args:
        schema: The schema, as JSON text.
        spaces: What stands between the parts of a document.

    Raises:
        ConstraintError: It is no schema, cannot be enforced, or no finite document follows it.
    """
    try:
        document = Document(json.loads(schema))
        meaning = Meaning(document, Budget(_STEPS, _SECONDS))
        root = ANYTHING if document.root == 0 else frozenset({(document.root, True)})
        return _checked(Writer(meaning, spaces).write(root))
    except ConstraintError as exc:
        raise placed(exc, "#") from exc
    except RecursionError as exc:
        raise ConstraintError(
            "its schemas lead to each other too often; make it smaller (at #)"
        ) from exc
