"""The result of a request that was played, with assertions for tests."""

from collections.abc import Sequence
from typing import NoReturn, Self

from concordance_shared import Event, FinishReason, ModReport, ToolCall
from msgspec import Struct

from concordance_sdk.host.request_state import Change
from concordance_sdk.testing.event_log import lines_of
from concordance_sdk.tokenizer import Tokenizer


class Played(Struct, frozen=True, kw_only=True, eq=False):
    """The result of a request that was played.

    Attributes:
        request_id: Identifies the request.
        text: The text of the completion, without special tokens.
        token_ids: The token ids of the completion.
        prompt_ids: The token ids of the prompt, after adjustments by mods.
        finish_reason: The reason why it ended.
        tool_calls: The tool calls that ended it, if any.
        history: All events and reports, in order.
        changes: All edits of the completion, in order, with the mods that made them.
        reads: The token ids that each forward pass processed.
        num_forced: The number of completion tokens that mods forced.
        num_backtracked: The number of tokens that mods backtracked.
        tokenizer: The tokenizer it was played with.

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
    history: tuple[Event | ModReport, ...]
    changes: tuple[Change, ...]
    reads: tuple[tuple[int, ...], ...]
    num_forced: int
    num_backtracked: int
    tokenizer: Tokenizer

    @property
    def passes(self) -> int:
        """The number of forward passes, including that of the prompt."""
        return len(self.reads)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events, in order."""
        return tuple(entry for entry in self.history if isinstance(entry, Event))

    @property
    def reports(self) -> tuple[ModReport, ...]:
        """The reports of the mods, in order."""
        return tuple(entry for entry in self.history if isinstance(entry, ModReport))

    @property
    def log(self) -> tuple[str, ...]:
        """The events and reports as lines.

        Examples are `added 3 ' Lyon' (forced)`, `backtracked 5, to 3` and `reported 3 judge
        {"verdict":"no"}`.
        """
        return lines_of(self.history, self.tokenizer)

    def expect_text(self, text: str) -> Self:
        """Fail unless this is the final text.

        Raises:
            AssertionError: It is another; the message shows the first difference and the log.
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
        """Fail unless these events occurred in this order; others may be between them.

        Args:
            expected: Lines of the log or prefixes of lines, or event classes.

        Raises:
            AssertionError: One is missing; the message names it and shows the log.
        """
        lines, at = self.log, 0
        for number, item in enumerate(expected):
            prefix = item if isinstance(item, str) else _line_prefix(item)
            found = [i for i in range(at, len(lines)) if lines[i].startswith(prefix)]
            if not found:
                after = f" after line {at}" if number else ""
                self._fail(f"no event {prefix!r}{after}")
            at = found[0] + 1
        return self

    def expect_passes(self, num: int | None = None, *, at_most: int | None = None) -> Self:
        """Fail unless this many forward passes were run, including that of the prompt.

        Args:
            num: The exact number.
            at_most: The maximum number.

        Raises:
            AssertionError: The number differs; the message shows the tokens that each processed.
        """
        is_wrong = num is not None and self.passes != num
        if is_wrong or (at_most is not None and self.passes > at_most):
            expected = f"{num}" if num is not None else f"at most {at_most}"
            reads = ", ".join(repr(self.tokenizer.decode(read)) for read in self.reads)
            self._fail(f"{self.passes} forward passes instead of {expected}; processed: {reads}")
        return self

    def _fail(self, what: str) -> NoReturn:
        raise AssertionError(f"{what}\nwhat was played:\n{numbered(self.log)}")


def numbered(lines: Sequence[str]) -> str:
    """Number lines from 1, for messages."""
    return "\n".join(f"    {number:3} {line}" for number, line in enumerate(lines, 1))


def _line_prefix(event_type: type[Event]) -> str:
    """Return how log lines of an event class begin: `ForwardPass` -> `forward_pass`."""
    name = event_type.__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_")
