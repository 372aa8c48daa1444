"""A constraint to any text up to a terminator."""

from enum import Enum, auto
from typing import cast

from concordance_shared import ConstraintError
from msgspec.structs import force_setattr

from concordance_sdk.constraints.constructor import ConstraintStruct
from concordance_sdk.constraints.grammar_builder import (
    GrammarBuilder,
    Part,
    character_class,
    literal,
    up_to_first,
)


class UntilEndType(Enum):
    """The kind of terminator of an `UntilStrat`.

    Attributes:
        TAG: The whole of `end`.
        ANYCHAR: Any one of the characters in `end`.
        NEWLINE: A line break.

    Examples:
        >>> [end_type.name for end_type in UntilEndType]
        ['TAG', 'ANYCHAR', 'NEWLINE']
    """

    TAG = auto()
    ANYCHAR = auto()
    NEWLINE = auto()


class UntilStrat(ConstraintStruct, frozen=True):
    r"""Any text up to and including the first terminator.

    The answer includes the tags, or the character that ended it, but not a line break; the value
    is the text between `start` and the terminator.

    Attributes:
        start: Forced at the start.
        end_type: The kind of terminator.
        end: The tag, or the characters of which each is a terminator; unused for a line break.

    Raises:
        ConstraintError: The terminator is empty, or the start or end is not a string.

    Examples:
        >>> from concordance_sdk.constraints import allows
        >>> thought = UntilStrat("<think>", UntilEndType.TAG, "</think>")
        >>> allows(thought, "<think>2 < 3</think>"), allows(thought, "<think></think> so")
        (True, False)
        >>> thought.value("<think>2 < 3</think>")
        '2 < 3'
        >>> UntilStrat(end_type=UntilEndType.NEWLINE).answer("a line\n")
        'a line'
    """

    start: str = ""
    end_type: UntilEndType = UntilEndType.NEWLINE
    end: str = ""

    def __post_init__(self) -> None:
        """Validate the start and the terminator."""
        if not isinstance(cast(object, self.end_type), UntilEndType):
            raise ConstraintError(
                f"UntilStrat ends by an UntilEndType, TAG, ANYCHAR or NEWLINE, not by "
                f"{self.end_type!r:.60}"
            )
        for name in ("start", "end"):
            text: object = getattr(self, name)
            if text is not None and not isinstance(text, str):
                raise ConstraintError(f"`{name}` of UntilStrat is a text, not {text!r:.60}")
        self._check_end()
        force_setattr(self, "start", self.start or "")

    def _check_end(self) -> None:
        if self.end_type is UntilEndType.NEWLINE:
            if self.end not in ("", "\n"):
                raise ConstraintError(
                    f"UntilStrat with NEWLINE ends at a line break, not at {self.end!r:.60}; "
                    "for another text use TAG"
                )
            force_setattr(self, "end", "\n")
        if not self.end:
            raise ConstraintError(
                f"UntilStrat with {self.end_type.name} needs `end`, the text that ends it"
            )

    def write(self, grammar: GrammarBuilder) -> Part:
        """Write the start, and text up to the first terminator."""
        if self.end_type is UntilEndType.TAG:
            text = up_to_first(grammar, "/(?s:.)*/", self.end)
        else:
            ends = character_class(self.end)
            text = grammar.terminal(f"/[^{ends}]*[{ends}]/")
        part = grammar.sequence([literal(self.start) if self.start else None, text])
        assert part is not None
        return part

    def answer(self, text: str) -> str:
        """Return the text, without a line break that ended it."""
        return text.removesuffix("\n") if self.end_type is UntilEndType.NEWLINE else text

    def value(self, text: str) -> str:
        """Return the text between the start and the terminator."""
        end = len(self.end) if self.end_type is UntilEndType.TAG else 1
        return text[len(self.start) : len(text) - end]
