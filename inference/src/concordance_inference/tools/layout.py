r"""The texts around the parts of a tool call, which differ between model families.

    <tool_call>\n{"name": "look_up", "arguments": {"word": "tide"}}\n</tool_call>
    |  marker |    head     | name  |  after_name  |   body       |       tail     |

A second call begins with `again` in place of marker and head; `close` follows the last one.
"""

import re

from concordance_sdk.constraints.schema.keyed import KeyedSpelling
from msgspec import Struct


class IdLayout(Struct, frozen=True, kw_only=True):
    """An id that the model writes between the name and `after_name`."""

    before: str
    pattern: str  # a regular expression of the id
    longest: int
    is_whole: bool = False  # the client's id of the call is `functions.NAME:ID`, as in Kimi K2

    def allows(self, text: str) -> bool:
        """True if a text is such an id."""
        return re.fullmatch(self.pattern, text) is not None


class Layout(Struct, frozen=True, kw_only=True):
    """The texts around the parts of tool calls.

    Attributes:
        marker: The text that opens the calls of a message.
        head: Follows the marker, before the name.
        id: An id after the name, if the model writes one.
        after_name: Separates the name from the arguments.
        keyed: How single arguments are written; `None` if they are a JSON object.
        tail: Follows the arguments.
        again: Precedes the name of a further call; `None` if a message has only one.
        close: Follows the last call.
        at_start: The marker opens calls only at the start of the content.
    """

    marker: str
    head: str = ""
    id: IdLayout | None = None
    after_name: str
    keyed: KeyedSpelling | None = None
    tail: str
    again: str | None
    close: str = ""
    at_start: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that are not parts of a call."""
        keyed = self.keyed
        inner = (
            (keyed.before_key, keyed.after_key, keyed.quote or "", keyed.after_value)
            if keyed
            else ()
        )
        before_id = self.id.before if self.id else ""
        outer = (self.marker, self.head, self.after_name, self.tail, self.again or "", self.close)
        return (*outer, before_id, *inner)
