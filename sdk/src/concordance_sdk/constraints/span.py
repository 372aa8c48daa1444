"""An answer where it stands in a completion: from which step on, and how far."""

from collections.abc import Sequence

from concordance_shared import ConstraintError

from concordance_sdk.constraints.matcher import Matcher


class ConstrainedSpan:
    """The tokens of a completion, from a step on, that a constraint is kept on.

    Knows nothing of actions. `end` is the step behind its last token, once it has ended; if the
    model ended it by an end-of-sequence token, that one stands at `end` and is no part of it.
    """

    def __init__(self, matcher: Matcher, begin: int) -> None:
        """Begin at a step.

        Args:
            matcher: A fresh one.
            begin: The step of the first token.
        """
        self.matcher = matcher
        self.begin = begin
        self.end: int | None = None

    @property
    def was_told_to_end(self) -> bool:
        """Whether it has ended by an end-of-sequence token, which stands behind it."""
        return self.end is not None and self.end < self._known

    def forced(self) -> list[int]:
        """The tokens that must come next; the caller forces them."""
        return self.matcher.forced()

    def go_to(self, step: int) -> bool:
        """Come to where the completion now ends; False if it ends before the answer begins.

        Goes back over what was taken back.

        Raises:
            ConstraintError: Tokens were added that it was not told of.
        """
        if self.end is None or step < self.end:
            self._check_seen(step)
            self.matcher.rollback(min(max(self._known - step, 0), self.matcher.num_tokens))
            self.end = self._known if self.matcher.is_complete else None
        return step >= self.begin

    def follow(self, step: int, token_ids: Sequence[int]) -> None:
        """Go on by the tokens that were added at a step.

        What stands behind the end of the answer is no part of it.

        Raises:
            ConstraintError: The constraint does not allow them, some were not seen, or the whole
                answer is none after all.
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
            self.matcher.extend(token_ids[count:])  # raises, and says what is wrong

    @property
    def _known(self) -> int:
        return self.begin + self.matcher.num_tokens

    def _check_seen(self, step: int) -> None:
        if step > self._known:
            raise ConstraintError(
                f"the tokens of the answer at steps {self._known} to {step - 1} were not seen: "
                "hand every Added event on, from the first one on"
            )
