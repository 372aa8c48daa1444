"""What became of a request that was played, and what a test can expect of it."""

from collections.abc import Sequence
from typing import NoReturn, Self

from concordance_shared import Event, FinishReason, ToolCall
from msgspec import Struct

from concordance_sdk.testing.event_log import lines_of
from concordance_sdk.tokenizer import Tokenizer


class Played(Struct, frozen=True, kw_only=True, eq=False):
    """What became of a request that was played.

    Attributes:
        request_id: Names the request.
        text: The completion's, without special tokens.
        token_ids: The completion's.
        prompt_ids: The prompt's, as the mods left it.
        finish_reason: Why it ended.
        tool_calls: The calls that it ended as, if any.
        events: Everything that was raised, in order.
        reads: The token ids that each forward pass read.
        num_forced: How many tokens of the completion mods put there.
        num_taken_back: How many tokens mods took back.
        tokenizer: The one that it was played with.

    Examples:
        >>> from concordance_sdk.testing import play
        >>> play(script="Hi").expect_text("Hi").expect_passes(3).log[-1]
        'finished 3 stop'
    """

    request_id: str
    text: str
    token_ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...]
    events: tuple[Event, ...]
    reads: tuple[tuple[int, ...], ...]
    num_forced: int
    num_taken_back: int
    tokenizer: Tokenizer

    @property
    def passes(self) -> int:
        """How many forward passes it took, the prompt's among them."""
        return len(self.reads)

    @property
    def log(self) -> tuple[str, ...]:
        """The events as lines: `added 3 ' Lyon' (forced)`, `taken back 5, to 3` and so on."""
        return lines_of(self.events, self.tokenizer)

    def expect_text(self, text: str) -> Self:
        """Fail unless the final text is this one.

        Raises:
            AssertionError: It is another; the message says where they differ, and shows the log.
        """
        if self.text != text:
            pairs = enumerate(zip(self.text, text, strict=False))
            shorter = min(len(self.text), len(text))
            same = next((i for i, (is_, should_be) in pairs if is_ != should_be), shorter)
            self._fail(
                f"the final text is\n    {self.text!r}\nand should be\n    {text!r}\n"
                f"from character {same} on it is {self.text[same:]!r} instead of {text[same:]!r}"
            )
        return self

    def expect_events(self, *expected: str | type[Event]) -> Self:
        """Fail unless these events were raised in this order, with any others between them.

        Args:
            expected: Lines of the log, or begins of such; or classes of events.

        Raises:
            AssertionError: One did not come; the message says which, and shows the log.
        """
        lines, at = self.log, 0
        for number, item in enumerate(expected):
            begin = item if isinstance(item, str) else _line_begin(item)
            found = [i for i in range(at, len(lines)) if lines[i].startswith(begin)]
            if not found:
                behind = f" behind line {at}" if number else ""
                self._fail(f"no event {begin!r}{behind}")
            at = found[0] + 1
        return self

    def expect_passes(self, num: int | None = None, *, at_most: int | None = None) -> Self:
        """Fail unless so many forward passes were spent, the prompt's among them.

        Args:
            num: Exactly so many.
            at_most: No more than so many.

        Raises:
            AssertionError: There were more, or fewer; the message says what each of them read.
        """
        is_wrong = num is not None and self.passes != num
        if is_wrong or (at_most is not None and self.passes > at_most):
            wanted = f"{num}" if num is not None else f"at most {at_most}"
            reads = ", ".join(repr(self.tokenizer.decode(read)) for read in self.reads)
            self._fail(f"{self.passes} forward passes instead of {wanted}; they read {reads}")
        return self

    def _fail(self, what: str) -> NoReturn:
        raise AssertionError(f"{what}\nwhat was played:\n{numbered(self.log)}")


def numbered(lines: Sequence[str]) -> str:
    """Lines with their numbers, from 1 on, for messages."""
    return "\n".join(f"    {number:3} {line}" for number, line in enumerate(lines, 1))


def _line_begin(event_type: type[Event]) -> str:
    """How the lines of an event's class begin: `ForwardPass` -> `forward_pass`."""
    name = event_type.__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_")
