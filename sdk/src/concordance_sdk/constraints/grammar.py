"""A constraint to a context-free grammar."""

from concordance_shared import ConstraintError

from concordance_sdk.constraints.constructor import ConstraintStruct
from concordance_sdk.constraints.grammar_builder import Free, GrammarBuilder
from concordance_sdk.constraints.validation import check


class Grammar(ConstraintStruct, frozen=True):
    r"""Text of a context-free grammar, in llguidance's variant of Lark.

    Its rule `start` matches the whole text. It may contain special tokens such as `<|im_start|>`,
    which depend on the model's tokenizer: such a grammar is validated at its first use.

    Attributes:
        lark: The grammar.

    Raises:
        ConstraintError: The grammar is invalid, or matches no text.

    Examples:
        >>> from concordance_sdk.constraints import allows
        >>> sums = Grammar('start: NUMBER ("+" NUMBER)*\nNUMBER: /[0-9]+/')
        >>> allows(sums, "1+2+3"), allows(sums, "1+")
        (True, False)
    """

    lark: str

    def __post_init__(self) -> None:
        """Validate the grammar, as far as possible without a tokenizer."""
        if not isinstance(self.lark, str):  # type: ignore[redundant-expr]
            raise ConstraintError(f"Grammar takes a grammar as text, not {self.lark!r:.60}")
        check(self, unless="unknown special token")

    def write(self, grammar: GrammarBuilder) -> Free:
        """Include the grammar under a name."""
        return grammar.include(self.lark)

    def answer(self, text: str) -> str:
        """Return the text unchanged."""
        return text

    def value(self, text: str) -> str:
        """Return the text unchanged."""
        return text
