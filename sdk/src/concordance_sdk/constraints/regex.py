"""A constraint to a regular expression."""

import re

from concordance_shared import ConstraintError

from concordance_sdk.constraints.constructor import ConstraintStruct
from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Regular, require_writable
from concordance_sdk.constraints.validation import check


class Regex(ConstraintStruct, frozen=True):
    r"""Text that a regular expression matches completely.

    The syntax is that of Rust's `regex` crate, which is close to Python's but has no lookaround
    and no backreferences. `\d`, `\w` and `\s` are ASCII only; `\p{L}` is a letter of any script.

    Attributes:
        pattern: The expression.

    Raises:
        ConstraintError: It is not a regular expression, or matches nothing.

    Examples:
        >>> from concordance_sdk.constraints import allows
        >>> allows(Regex(r"[A-Z]{3}-\d+"), "HAT-136"), allows(Regex(r"[A-Z]{3}-\d+"), "HAT-")
        (True, False)
    """

    pattern: str

    def __post_init__(self) -> None:
        """Validate the pattern."""
        if not isinstance(self.pattern, str):  # type: ignore[redundant-expr]
            raise ConstraintError(f"Regex takes a pattern as text, not {self.pattern!r:.60}")
        require_writable(self.pattern)
        check(self, explain=_explained)

    def write(self, grammar: GrammarBuilder) -> Regular:
        """Write the pattern as one terminal."""
        from llguidance import regex_to_lark  # noqa: PLC0415

        pattern = regex_to_lark(self.pattern, "dws").replace("\n", "\\n")
        return grammar.terminal(f"/{pattern}/")

    def answer(self, text: str) -> str:
        """Return the text unchanged."""
        return text

    def value(self, text: str) -> str:
        """Return the text unchanged."""
        return text


def _explained(fault: str) -> str:
    """Extract the regular expression's own error, without the grammar around it."""
    found = re.search(r"error: ([^\n]+)", fault)
    if found is None:
        return fault
    is_unsupported = "not supported" in found[1]
    return found[1] + ("; write it without, or as a Grammar" if is_unsupported else "")
