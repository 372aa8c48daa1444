"""A constraint compiled for a tokenizer: immutable, shared by requests."""

from concordance_sdk.constraints.constraint import Constraint, require_constraint
from concordance_sdk.constraints.matcher import Matcher
from concordance_sdk.constraints.validation import grammar_text, unenforceable, unique_places
from concordance_sdk.constraints.vocabulary import Vocabulary, vocabulary_of
from concordance_sdk.tokenizer import Tokenizer


class CompiledConstraint:
    """A constraint compiled for a tokenizer. `start` returns a matcher for one completion.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> compiled = compile_constraint(ChoicesStrat(["yes", "no"]), ByteTokenizer())
        >>> one, other = compiled.start(), compiled.start()
        >>> one.extend(b"ye")
        >>> bytes(one.forced()), other.text
        (b's', '')
    """

    def __init__(self, constraint: Constraint, tokenizer: Tokenizer) -> None:
        """Compile a constraint, or reuse its compiled grammar.

        Raises:
            ConstraintError: It is not a constraint, or cannot be enforced with this tokenizer.
        """
        require_constraint(constraint, "what is compiled")
        self.constraint = constraint
        self._tokenizer = tokenizer  # keeps the vocabulary alive
        self._vocabulary: Vocabulary = vocabulary_of(tokenizer)
        self._grammar = grammar_text(constraint)
        self._places = unique_places(constraint)
        if error := self._vocabulary.error_of(self._grammar):
            raise unenforceable(constraint, _explained(error))

    def start(self, *, at_start: bool = False) -> Matcher:
        """Return a matcher at the start of the constrained text.

        Args:
            at_start: True if the constrained text is at the start of a prompt or completion, where
                some tokenizers drop a leading space.
        """
        matcher = self._vocabulary.matcher(self._grammar, at_start=at_start)
        return Matcher(
            matcher,
            self.constraint,
            self._tokenizer,
            self._vocabulary,
            self._grammar,
            self._places,
            at_start=at_start,
        )


def _explained(error: str) -> str:
    """Add a suggestion to an error of llguidance, if there is one."""
    if "too many expressions" not in error:
        return error
    return (
        f"its automaton is too large for this model's vocabulary ({error}); lower the bounds of "
        "what repeats, such as 'maxLength' and the repetitions of 'pattern' (at #)"
    )


def compile_constraint(constraint: Constraint, tokenizer: Tokenizer) -> CompiledConstraint:
    """Compile a constraint for a tokenizer.

    The lowest of three levels; `constrain` makes a mod and `Constrained` a part of one. The
    compiled grammar is cached for the lifetime of the tokenizer.

    Raises:
        ConstraintError: The constraint cannot be enforced with this tokenizer.

    Examples:
        >>> from concordance_sdk.constraints import Regex
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> answer = compile_constraint(Regex("[ab]+"), ByteTokenizer()).start()
        >>> answer.extend(b"ab")
        >>> answer.can_stop, answer.is_complete
        (True, False)
    """
    return CompiledConstraint(constraint, tokenizer)
