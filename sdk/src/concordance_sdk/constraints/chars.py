"""A constraint to characters of one kind."""

from enum import Enum, auto
from typing import cast

from concordance_shared import ConstraintError

from concordance_sdk.constraints.constraint import is_count
from concordance_sdk.constraints.constructor import ConstraintStruct
from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Regular, up_to_first


class CharsMode(Enum):
    r"""The kinds of characters of a `CharsStrat`.

    Attributes:
        ALPHA: Letters of any script.
        ALPHANUMERIC: Letters and digits of any script.
        NUMERIC: The digits 0 to 9.
        STRING: The inside of a double-quoted string: `"` and `\` are escaped by a `\`.
        JS_FLOAT: A number in the syntax of JavaScript and JSON.

    Examples:
        >>> CharsMode["NUMERIC"] is CharsMode.NUMERIC
        True
    """

    ALPHA = auto()
    ALPHANUMERIC = auto()
    NUMERIC = auto()
    STRING = auto()
    JS_FLOAT = auto()


_CHARACTER = {
    CharsMode.ALPHA: r"\p{L}",
    CharsMode.ALPHANUMERIC: r"[\p{L}\p{N}]",
    CharsMode.NUMERIC: "[0-9]",
    CharsMode.STRING: r'(?:[^"\\]|\\(?s:.))',
}
_NUMBER = r"/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/"


class CharsStrat(ConstraintStruct, frozen=True):
    r"""Characters of one kind, up to a maximum number or until a terminator.

    In a STRING, a character and the backslash before it count as one; in a JS_FLOAT every
    character counts. The answer excludes the terminator; the value of a JS_FLOAT is a float.

    Attributes:
        mode: The kind of characters.
        stop: The maximum number of characters, or the terminator.
        min: The minimum number of characters, before the terminator.

    Raises:
        ConstraintError: A count is not a non-negative integer, or `min` exceeds `stop`.

    Examples:
        >>> from concordance_sdk.constraints import allows
        >>> year = CharsStrat(CharsMode.NUMERIC, min=4, stop=4)
        >>> allows(year, "1984"), allows(year, "198")
        (True, False)
        >>> CharsStrat(CharsMode.JS_FLOAT, stop="\n").value("-1.5e3\n")
        -1500.0
    """

    mode: CharsMode
    stop: int | str
    min: int | None = None

    def __post_init__(self) -> None:
        """Validate the kind and the counts."""
        if not isinstance(cast(object, self.mode), CharsMode):
            kinds = ", ".join(mode.name for mode in CharsMode)
            raise ConstraintError(f"CharsStrat takes a CharsMode ({kinds}), not {self.mode!r:.60}")
        if isinstance(self.stop, str):
            if not self.stop:
                raise ConstraintError("the text that stops a CharsStrat must not be empty")
        elif not is_count(self.stop) or self.stop < 1:
            raise ConstraintError(
                f"CharsStrat stops at a count of at least 1 or at a text, not at {self.stop!r:.60}"
            )
        if self.min is not None and not is_count(self.min):
            raise ConstraintError(f"`min` of CharsStrat is a count, not {self.min!r:.60}")
        if not isinstance(self.stop, str) and (self.min or 0) > self.stop:
            raise ConstraintError(
                f"CharsStrat cannot have at least {self.min} and at most {self.stop} characters"
            )

    def write(self, grammar: GrammarBuilder) -> Regular:
        """Write the characters and their terminator as one terminal."""
        most = "" if isinstance(self.stop, str) else self.stop
        characters = self._characters(grammar, f"{{{self.min or 0},{most}}}")
        if isinstance(self.stop, str):
            return up_to_first(grammar, characters, self.stop)
        return grammar.terminal(characters)

    def _characters(self, grammar: GrammarBuilder, count: str) -> str:
        if self.mode is CharsMode.JS_FLOAT:
            number, counted = grammar.terminal(_NUMBER), f"/.{count}/"
            return grammar.terminal(f"{number.expression} & {counted}").expression
        return f"/{_CHARACTER[self.mode]}{count}/"

    def answer(self, text: str) -> str:
        """Return the characters without their terminator."""
        return text.removesuffix(self.stop) if isinstance(self.stop, str) else text

    def value(self, text: str) -> str | float:
        """Return the characters; for JS_FLOAT, the number."""
        answer = self.answer(text)
        return float(answer) if self.mode is CharsMode.JS_FLOAT else answer
