"""A constrained span: its position in the completion, and its matcher."""

from collections.abc import Sequence

from concordance_shared import ConstraintError

from concordance_sdk.constraints.matcher import Matcher


class ConstrainedSpan:
    """The tokens of a completion, from a step on, to which a constraint applies.

    Knows no actions.

        completion   H i :  y e s <eos>
        step         0 1 2  3 4 5  6        begin 3, end 6

    Attributes:
        matcher: The state of the constraint.
        begin: The step of the first token.
        end: The step after the last token, once the span has ended. If an end-of-sequence token
            ended it, that token is at `end` and not part of the span.
    """

    def __init__(self, matcher: Matcher, begin: int) -> None:
        """Begin a span.

        Args:
            matcher: A matcher without tokens.
            begin: The step of the first token.
        """
        self.matcher = matcher
        self.begin = begin
        self.end: int | None = None

    @property
    def is_ended_by_eos(self) -> bool:
        """True if an end-of-sequence token ended the span and follows it."""
        return self.end is not None and self.end < self._known

    def forced(self) -> list[int]:
        """Return the tokens that are determined next, for the caller to force."""
        return self.matcher.forced()

    def go_to(self, step: int) -> bool:
        """Rewind to the end of the completion; return False if that is before the span.

        Raises:
            ConstraintError: Tokens were added that `follow` has not seen.
        """
        if self.end is None or step < self.end:
            self._check_seen(step)
            self.matcher.rollback(min(max(self._known - step, 0), self.matcher.num_tokens))
            self.end = self._known if self.matcher.is_complete else None
        return step >= self.begin

    def follow(self, step: int, token_ids: Sequence[int]) -> None:
        """Advance by the tokens that were added at a step; those after the end are ignored.

        Raises:
            ConstraintError: The constraint does not allow them, earlier ones were not seen, or the
                finished text is invalid.
        """
        if self.end is not None:
            return
        self._check_seen(step)
        count = self.matcher.accepts(token_ids)
        self.matcher.extend(token_ids[:count])
        if self.matcher.is_complete:
            self.end = self._known - self.matcher.is_ended_by_eos
            self.matcher.check()
        elif count < len(token_ids):
            self.matcher.extend(token_ids[count:])  # raises an error that describes the fault

    @property
    def _known(self) -> int:
        return self.begin + self.matcher.num_tokens

    def _check_seen(self, step: int) -> None:
        if step > self._known:
            raise ConstraintError(
                f"the tokens of the constrained span at steps {self._known} to {step - 1} were not "
                "seen: forward every Added event, from the first one on"
            )
