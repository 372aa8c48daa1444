"""The state of a constraint in one completion: its tokens so far, and those allowed next."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from concordance_shared import ConstraintError

from concordance_sdk.constraints.byte_grammar import error_of
from concordance_sdk.constraints.constraint import Constraint
from concordance_sdk.constraints.repeat_mask import RepeatMask
from concordance_sdk.constraints.schema.places import NOWHERE, Places
from concordance_sdk.constraints.schema.unique import Watch
from concordance_sdk.constraints.validation import named
from concordance_sdk.constraints.vocabulary import Vocabulary
from concordance_sdk.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher


class Matcher:
    """Computes masks and forced tokens for one completion. Created by `CompiledConstraint.start`.

    Its state depends only on its tokens: after any `extend` and `rollback` it equals a new matcher
    that was given the remaining tokens.

    Where the constraint is satisfied, an end-of-sequence token is allowed. It ends the constrained
    text and is not part of it.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat, compile_constraint
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> answer = compile_constraint(ChoicesStrat(["on", "one"]), ByteTokenizer()).start()
        >>> answer.extend(answer.forced())
        >>> answer.text, answer.can_stop, answer.is_complete
        ('on', True, False)
        >>> answer.extend(b"e")
        >>> answer.is_complete
        True
        >>> answer.rollback(2)
        >>> answer.text
        'o'
    """

    def __init__(
        self,
        matcher: "LLMatcher",
        constraint: Constraint,
        tokenizer: Tokenizer,
        vocabulary: Vocabulary,
        grammar: str,
        places: Places = NOWHERE,
        *,
        at_start: bool = False,
    ) -> None:
        """Create a matcher with no tokens.

        Args:
            matcher: A fresh llguidance matcher of the grammar, not in an error state.
            constraint: The constraint to enforce.
            tokenizer: The tokenizer of the completion.
            vocabulary: The tokenizer's tokens, as llguidance sees them.
            grammar: The constraint's grammar, to recompile if `matcher` fails.
            places: Where `uniqueItems` applies, which no grammar can express.
            at_start: True if the constrained text is at the start of a prompt or completion.
        """
        self.constraint = constraint
        self.token_ids: list[int] = []
        self._matcher = matcher
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._grammar = grammar
        self._at_start = at_start
        self._is_ended_by_eos = False  # the last token is an end-of-sequence token
        self._mask: bytes | None = None  # the mask of this position, once computed
        self._places = places
        self._watch = Watch(places) if places else None
        self._repeats = RepeatMask(vocabulary, tokenizer)

    @property
    def is_ended_by_eos(self) -> bool:
        """True if the last token is an end-of-sequence token, which ended the text."""
        return self._is_ended_by_eos

    def mask(self) -> bytes:
        """Return the tokens allowed next, as a packed bitmask: bit `i % 8` of byte `i // 8`.

        It covers at least the tokenizer's vocabulary. End-of-sequence tokens are allowed where the
        constraint is satisfied.

        Raises:
            ConstraintError: No token of this vocabulary is allowed, or llguidance failed.
        """
        if self._is_ended_by_eos or self._has_stopped:
            return self._vocabulary.eos_mask
        if self._mask is None:
            mask = self._matcher.compute_bitmask()
            if self._matcher.is_stopped():
                mask = self._recomputed_mask()
            self._mask = self._without_repeats(mask)
        return self._mask

    def _recomputed_mask(self) -> bytes:
        """Compute the mask with a newly compiled matcher, after this one has failed.

        Copies of a matcher share the lexer's state, so a failure may come from another request.

        Raises:
            ConstraintError: The new matcher fails as well.
        """
        error = self._failure()
        matcher = self._vocabulary.renew(self._grammar, at_start=self._at_start)
        if not matcher.consume_tokens(self.token_ids):
            raise error
        mask = matcher.compute_bitmask()
        if matcher.is_stopped():
            raise error
        self._matcher = matcher
        return mask

    def _without_repeats(self, mask: bytes) -> bytes:
        """Clear the tokens of a mask that would repeat an item of an array with `uniqueItems`.

        Raises:
            ConstraintError: No tokens remain.
        """
        if not self._watch or not self._watch.suspects():
            return mask
        kept = self._repeats.masked(mask, self._watch, self._matcher)
        if not any(kept):
            raise ConstraintError(
                f"{named(self.constraint)} has no more different items for an array with "
                f"'uniqueItems', after {self.text[-40:]!r}; bound it with 'maxItems'"
            )
        return kept

    def forced(self) -> list[int]:
        """Return the tokens that are forced next; empty if there is a choice."""
        if self.is_complete:
            return []
        token_ids = self._matcher.compute_ff_tokens()
        return token_ids[: self._repeats.num_before_repeat(token_ids, self._watch)]

    def accepts(self, token_ids: Sequence[int]) -> int:
        """Count the leading tokens of `token_ids` that the constraint allows next."""
        if self._is_ended_by_eos:
            return 0
        until_end = next(
            (i for i, token_id in enumerate(token_ids) if token_id in self._vocabulary.eos_ids),
            len(token_ids),
        )
        count = self._matcher.validate_tokens(list(token_ids[:until_end]))
        count = min(count, self._repeats.num_before_repeat(token_ids[:until_end], self._watch))
        if count < until_end or until_end == len(token_ids):
            return count
        return count + self._can_stop_after(token_ids[:until_end])

    def extend(self, token_ids: Sequence[int]) -> None:
        """Append tokens.

        Raises:
            ConstraintError: One of them is not allowed; nothing was changed.
        """
        token_ids = list(token_ids)
        count = self.accepts(token_ids)
        if count < len(token_ids):
            raise self._refused(token_ids, count)
        ends = bool(token_ids) and token_ids[-1] in self._vocabulary.eos_ids
        if not self._matcher.consume_tokens(token_ids[: len(token_ids) - ends]):
            raise self._failure()
        if self._watch:
            self._watch.read(self._bytes_of(token_ids[: len(token_ids) - ends]))
        self.token_ids += token_ids
        self._is_ended_by_eos = ends
        self._mask = None

    def rollback(self, n: int) -> None:
        """Remove the last `n` tokens."""
        assert 0 <= n <= len(self.token_ids)
        if not n:
            return
        del self.token_ids[len(self.token_ids) - n :]
        self._matcher.rollback(n - self._is_ended_by_eos)
        self._is_ended_by_eos = False
        self._mask = None
        if self._watch:
            self._watch = Watch(self._places)
            self._watch.read(self._bytes_of(self.token_ids))

    def _bytes_of(self, token_ids: Sequence[int]) -> bytes:
        return b"".join(map(self._tokenizer.token_bytes, token_ids))

    @property
    def can_stop(self) -> bool:
        """True if the tokens so far satisfy the constraint."""
        return self._is_ended_by_eos or self._matcher.is_accepting()

    @property
    def is_complete(self) -> bool:
        """True if the text has ended: by an end-of-sequence token, or since nothing can follow."""
        if self._is_ended_by_eos or self._has_stopped:
            return True
        return self._matcher.is_accepting() and self._vocabulary.only_ends(self.mask())

    @property
    def num_tokens(self) -> int:
        """The number of tokens so far."""
        return len(self.token_ids)

    @property
    def text(self) -> str:
        """The text so far."""
        token_ids = self.token_ids[:-1] if self._is_ended_by_eos else self.token_ids
        return self._vocabulary.text_of(token_ids, at_start=self._at_start)

    @property
    def answer(self) -> str:
        """The text so far, without its terminator."""
        return self.constraint.answer(self.text)

    def check(self) -> None:
        """Validate a complete text independently of the grammar, if the constraint can.

        Raises:
            ConstraintError: The grammar allowed an invalid document; the request ends.
        """
        look = getattr(self.constraint, "problem", None)
        problem = look(self.text) if callable(look) else None
        if problem:
            raise ConstraintError(
                f"{named(self.constraint)} allowed a document that violates it: {problem}; the "
                "grammar is at fault, please report the schema"
            )

    @property
    def value(self) -> Any:
        """The value of the text so far. Only valid if it can stop."""
        return self.constraint.value(self.text)

    @property
    def _has_stopped(self) -> bool:
        """True if llguidance itself reports that nothing can follow."""
        return self._matcher.is_stopped() and self._matcher.is_accepting()

    def _can_stop_after(self, token_ids: Sequence[int]) -> bool:
        """True if the constraint is satisfied after some tokens, which are allowed next."""
        self._matcher.consume_tokens(list(token_ids))
        can_stop = self._matcher.is_accepting()
        self._matcher.rollback(len(token_ids))
        return can_stop

    def _refused(self, token_ids: list[int], count: int) -> ConstraintError:
        refused = self._tokenizer.decode(token_ids[count:])
        before = self.text + self._tokenizer.decode(token_ids[:count])
        return ConstraintError(
            f"{named(self.constraint)} does not allow {refused!r:.60} after "
            f"{before[-40:]!r}; a mod that forces tokens must do so before the constraint begins, "
            "or not at all"
        )

    def _failure(self) -> ConstraintError:
        why = error_of(self._matcher) or self._matcher.stop_reason()
        return ConstraintError(
            f"{named(self.constraint)} could not be enforced after {self.text[-40:]!r}: {why}"
        )
