"""Any context-free language."""

from concordance_shared import ConstraintError
from msgspec import Struct

from concordance_sdk.constraints.grammar_builder import Free, GrammarBuilder
from concordance_sdk.constraints.validation import check


class Grammar(Struct, frozen=True):
    r"""Text of a context-free grammar, in llguidance's variant of Lark.

    Its rule `start` is the whole answer. It may name special tokens, as `<|im_start|>`, which only
    a model's tokenizer knows: such a grammar is checked when it is used first.

    Attributes:
        lark: The grammar.

    Raises:
        ConstraintError: It is no grammar, or has no text.

    Examples:
        >>> from concordance_sdk.constraints import allows
        >>> sums = Grammar('start: NUMBER ("+" NUMBER)*\nNUMBER: /[0-9]+/')
        >>> allows(sums, "1+2+3"), allows(sums, "1+")
        (True, False)
    """

    lark: str

    def __post_init__(self) -> None:
        """Check the grammar, as far as it can be without a tokenizer."""
        if not isinstance(self.lark, str):  # type: ignore[redundant-expr]
            raise ConstraintError(f"Grammar takes a grammar as text, not {self.lark!r:.60}")
        check(self, unless="unknown special token")

    def write(self, grammar: GrammarBuilder) -> Free:
        """The grammar, inside the whole one."""
        return grammar.include(self.lark)

    def answer(self, text: str) -> str:
        """The text."""
        return text

    def value(self, text: str) -> str:
        """The text."""
        return text
