"""The format in which a model writes tool calls."""

from collections.abc import Mapping

import msgspec
from concordance_sdk.constraints.schema.keyed import KeyedSpelling
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

    @property
    def keyed(self) -> KeyedSpelling | None:
        """How arguments are written one by one; `None` if they are a JSON object."""
        keyed = self.layout.keyed
        return keyed and msgspec.structs.replace(keyed, special=tuple(self.special.items()))


#: For models whose template knows no tools, or tools in a format that is not known.
GENERIC = ToolFormat(name="generic", layout=JSON_TOOLS, is_generic=True)
