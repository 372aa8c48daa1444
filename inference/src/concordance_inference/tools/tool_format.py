"""The format in which a model writes tool calls."""

from collections.abc import Mapping

from msgspec import Struct

from concordance_inference.tools.layout import Layout
from concordance_inference.tools.layouts import JSON_TOOLS


class ToolFormat(Struct, frozen=True, kw_only=True):
    """A format of tool calls.

    Attributes:
        name: The name of the format.
        layout: The texts around the parts of a call.
        special: The special tokens in these texts, by name. They are no part of a completion's
            text unless a request shows them.
        is_generic: The chat template renders no tools: a system message has them.
    """

    name: str
    layout: Layout
    special: Mapping[str, int] = {}
    is_generic: bool = False


#: For models whose template knows no tools, or tools in a format that is not known.
GENERIC = ToolFormat(name="generic", layout=JSON_TOOLS, is_generic=True)
