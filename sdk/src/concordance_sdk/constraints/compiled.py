"""A constraint made ready for a tokenizer: shared by requests, and never changed."""

from concordance_sdk.constraints.constraint import Constraint, require_constraint
from concordance_sdk.constraints.matcher import Matcher
from concordance_sdk.constraints.validation import grammar_text, unenforceable, unique_places
from concordance_sdk.constraints.vocabulary import Vocabulary, vocabulary_of
from concordance_sdk.tokenizer import Tokenizer


class CompiledConstraint:
    """A constraint and the tokens it is enforced with. `start` begins an answer.

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
        """Compile a constraint, or find it compiled.

        Raises:
            ConstraintError: It is no constraint, or cannot be enforced with this tokenizer.
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
        """The beginning of an answer.

        Args:
            at_start: Its first token is the first one of a text. Some tokenizers leave out a space
                there.
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
    """An error of llguidance's, with what would be right where that is known."""
    if "too many expressions" not in error:
        return error
    return (
        f"its automaton is too large for this model's vocabulary ({error}); bound what repeats "
        "lower, as 'maxLength' and the repetitions of 'pattern' (at #)"
    )


def compile_constraint(constraint: Constraint, tokenizer: Tokenizer) -> CompiledConstraint:
    """Make a constraint ready for a tokenizer.

    What is compiled is kept for as long as the tokenizer lives: asking again is cheap.

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
