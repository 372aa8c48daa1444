"""Where one answer stands in its constraint: the tokens so far, and what may come next."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from concordance_shared import ConstraintError

from concordance_sdk.constraints.byte_grammar import error_of
from concordance_sdk.constraints.constraint import Constraint
from concordance_sdk.constraints.schema.places import NOWHERE, Places
from concordance_sdk.constraints.schema.unique import Watch
from concordance_sdk.constraints.validation import named
from concordance_sdk.constraints.vocabulary import Vocabulary
from concordance_sdk.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher


#: How many tokens are tried at a position for whether they lead to a repetition only, and how far.
_MAX_TRIALS = 64
_MAX_AHEAD = 12


class Matcher:
    """The position of one answer. Made by `CompiledConstraint.start`; belongs to one request.

    It depends on its tokens alone, not on the way they came: after any `extend` and `rollback`
    it is as a new one that was given what is left.

    A token that ends a completion may stand where the constraint is satisfied. It ends the answer
    and is no part of it.

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
        """Begin an answer.

        Args:
            matcher: A fresh one of the constraint's grammar, in no error state.
            constraint: What is enforced.
            tokenizer: Whose tokens they are.
            vocabulary: The same tokens as the matcher sees them.
            grammar: Its grammar, to begin again with if the matcher fails.
            places: Where arrays stand whose items differ, which no grammar can say.
            at_start: The answer begins a text.
        """
        self.constraint = constraint
        self.token_ids: list[int] = []
        self._matcher = matcher
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._grammar = grammar
        self._at_start = at_start
        self._is_told = False  # the last token is one that ends a completion
        self._mask: bytes | None = None  # of this position, once it was asked for
        self._places = places
        self._watch = Watch(places) if places else None

    @property
    def is_told(self) -> bool:
        """Whether the answer was ended by a token that ends a completion."""
        return self._is_told

    def mask(self) -> bytes:
        """The tokens that may come next, as a packed bitmask: bit `i % 8` of byte `i // 8`.

        It covers at least the tokenizer's vocabulary; the tokens that end a completion are in it
        where the answer may stop.

        Raises:
            ConstraintError: No token of this vocabulary can come next, or llguidance gave up.
        """
        if self._is_told or self._has_stopped:
            return self._vocabulary.eos_mask
        if self._mask is None:
            mask = self._matcher.compute_bitmask()
            if self._matcher.is_stopped():
                mask = self._computed_anew()
            self._mask = self._without_repeats(mask)
        return self._mask

    def _computed_anew(self) -> bytes:
        """A mask from a matcher that shares nothing with others, after one has failed.

        Raises:
            ConstraintError: It fails by itself, too.
        """
        error = self._gave_up()
        matcher = self._vocabulary.renew(self._grammar, at_start=self._at_start)
        if not matcher.consume_tokens(self.token_ids):
            raise error
        mask = matcher.compute_bitmask()
        if matcher.is_stopped():
            raise error
        self._matcher = matcher
        return mask

    def _without_repeats(self, mask: bytes) -> bytes:
        """A mask without the tokens that would write an item of an array a second time.

        Raises:
            ConstraintError: There are no others.
        """
        if not self._watch or not self._watch.suspects():
            return mask
        kept = self._unrepeated(mask, self._watch)
        for token_id in self._repeating(kept, self._watch)[:_MAX_TRIALS]:
            if self._must_repeat(self._matcher, self._watch, token_id, _MAX_AHEAD):
                kept[token_id // 8] &= ~(1 << token_id % 8)
        if not any(kept):
            raise ConstraintError(
                f"{named(self.constraint)} has no more different items for an array with "
                f"'uniqueItems', behind {self.text[-40:]!r}; bound it with 'maxItems'"
            )
        return bytes(kept)

    def _unrepeated(self, mask: bytes, watch: Watch) -> bytearray:
        """A mask without the tokens that end a repetition."""
        kept = bytearray(mask)
        for token_id, token in self._vocabulary.closers.having(watch.suspects()):
            bit = 1 << token_id % 8
            if kept[token_id // 8] & bit and not watch.copy().read(token):
                kept[token_id // 8] &= ~bit
        return kept

    def _repeating(self, mask: bytes | bytearray, watch: Watch) -> list[int]:
        """The tokens of a mask that go on with what an item before begins with."""
        token_ids = self._vocabulary.closers.beginning(watch.repeating())
        return [i for i in sorted(token_ids) if mask[i // 8] >> i % 8 & 1]

    def _must_repeat(self, matcher: "LLMatcher", watch: Watch, token_id: int, ahead: int) -> bool:
        """Whether nothing but a repetition can follow a token, as behind `US` of two letters."""
        if not ahead:
            return False
        matcher, watch = matcher.deep_copy(), watch.copy()
        matcher.consume_tokens([token_id])
        watch.read(self._tokenizer.token_bytes(token_id))
        mask = matcher.compute_bitmask()
        kept = self._unrepeated(mask, watch) if watch.suspects() else bytearray(mask)
        token_ids = self._repeating(kept, watch)
        if int.from_bytes(kept, "little").bit_count() > len(token_ids):
            return False
        return all(self._must_repeat(matcher, watch, i, ahead - 1) for i in token_ids)

    def _until_repeat(self, token_ids: Sequence[int]) -> int:
        """How many tokens may come next before one writes an item a second time."""
        if self._watch is None:
            return len(token_ids)
        watch = self._watch.copy()
        for i, token_id in enumerate(token_ids):
            if not watch.read(self._tokenizer.token_bytes(token_id)):
                return i
        return len(token_ids)

    def forced(self) -> list[int]:
        """The tokens that must come next, since nothing else may; none if there is a choice."""
        if self.is_complete:
            return []
        token_ids = self._matcher.compute_ff_tokens()
        return token_ids[: self._until_repeat(token_ids)]

    def accepts(self, token_ids: Sequence[int]) -> int:
        """How many of these tokens may come next, one behind the other."""
        if self._is_told:
            return 0
        until_end = next(
            (i for i, token_id in enumerate(token_ids) if token_id in self._vocabulary.eos_ids),
            len(token_ids),
        )
        count = self._matcher.validate_tokens(list(token_ids[:until_end]))
        count = min(count, self._until_repeat(token_ids[:until_end]))
        if count < until_end or until_end == len(token_ids):
            return count
        return count + self._stops_behind(token_ids[:until_end])

    def extend(self, token_ids: Sequence[int]) -> None:
        """Go on by some tokens.

        Raises:
            ConstraintError: One of them may not stand there; nothing was changed.
        """
        token_ids = list(token_ids)
        count = self.accepts(token_ids)
        if count < len(token_ids):
            raise self._refused(token_ids, count)
        ends = bool(token_ids) and token_ids[-1] in self._vocabulary.eos_ids
        if not self._matcher.consume_tokens(token_ids[: len(token_ids) - ends]):
            raise self._gave_up()
        if self._watch:
            self._watch.read(self._bytes_of(token_ids[: len(token_ids) - ends]))
        self.token_ids += token_ids
        self._is_told = ends
        self._mask = None

    def rollback(self, n: int) -> None:
        """Take back the last `n` tokens."""
        assert 0 <= n <= len(self.token_ids)
        if not n:
            return
        del self.token_ids[len(self.token_ids) - n :]
        self._matcher.rollback(n - self._is_told)
        self._is_told = False
        self._mask = None
        if self._watch:
            self._watch = Watch(self._places)
            self._watch.read(self._bytes_of(self.token_ids))

    def _bytes_of(self, token_ids: Sequence[int]) -> bytes:
        return b"".join(map(self._tokenizer.token_bytes, token_ids))

    @property
    def can_stop(self) -> bool:
        """Whether the tokens so far are a whole answer."""
        return self._is_told or self._matcher.is_accepting()

    @property
    def is_complete(self) -> bool:
        """Whether the answer has ended: it was told to, or nothing can follow."""
        if self._is_told or self._has_stopped:
            return True
        return self._matcher.is_accepting() and self._vocabulary.only_ends(self.mask())

    @property
    def num_tokens(self) -> int:
        """How many tokens it has been given."""
        return len(self.token_ids)

    @property
    def text(self) -> str:
        """What was written so far."""
        token_ids = self.token_ids[:-1] if self._is_told else self.token_ids
        return self._vocabulary.text_of(token_ids, at_start=self._at_start)

    @property
    def answer(self) -> str:
        """The answer in the text: without what was only written to end it."""
        return self.constraint.answer(self.text)

    def check(self) -> None:
        """Let the constraint look at a complete answer once more, without its grammar.

        Raises:
            ConstraintError: It is none after all; the request ends with that.
        """
        look = getattr(self.constraint, "problem", None)
        problem = look(self.text) if callable(look) else None
        if problem:
            raise ConstraintError(
                f"{named(self.constraint)} let a document through that breaks it: {problem}; the "
                "grammar is at fault, please report the schema"
            )

    @property
    def value(self) -> Any:
        """What the answer means. Only for one that can stop."""
        return self.constraint.value(self.text)

    @property
    def _has_stopped(self) -> bool:
        """Whether llguidance knows by itself that nothing can follow."""
        return self._matcher.is_stopped() and self._matcher.is_accepting()

    def _stops_behind(self, token_ids: Sequence[int]) -> bool:
        """Whether the answer can stop behind some tokens that may come next."""
        self._matcher.consume_tokens(list(token_ids))
        can_stop = self._matcher.is_accepting()
        self._matcher.rollback(len(token_ids))
        return can_stop

    def _refused(self, token_ids: list[int], count: int) -> ConstraintError:
        refused = self._tokenizer.decode(token_ids[count:])
        behind = self.text + self._tokenizer.decode(token_ids[:count])
        return ConstraintError(
            f"{named(self.constraint)} does not allow {refused!r:.60} behind "
            f"{behind[-40:]!r}; what puts tokens there has to act before the constraint begins, "
            "or not at all"
        )

    def _gave_up(self) -> ConstraintError:
        why = error_of(self._matcher) or self._matcher.stop_reason()
        return ConstraintError(
            f"{named(self.constraint)} could not be enforced behind {self.text[-40:]!r}: {why}"
        )
