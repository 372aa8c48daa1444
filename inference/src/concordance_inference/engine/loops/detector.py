"""Finds tokens that repeat with a period. No arrays, no text."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

#: In place of a token that belongs to no message, such as a control token. It ends a message.
BREAK = -1

#: Tokens that a period may have, at most.
MAX_PERIOD = 64

_Runs = tuple[tuple[int, int], ...]


class Loop(Struct, frozen=True):
    """A sequence of tokens that occurs several times in a row, up to the end of a completion.

    a b c d c d c d c d     begin 2, period 2, repeats 4
    """

    begin: int  # the step of its first token
    period: int  # tokens that repeat
    repeats: int  # how often they occur, the first time included


class LoopDetector(Protocol):
    """Follows a completion token by token. Edits are exact: it depends on the tokens only."""

    @property
    def found(self) -> Loop | None:
        """The loop that the completion ends in, if it is long enough."""
        ...

    def settled(self, length: int) -> int:
        """Return the greatest length, up to `length`, that no rewind goes below.

        As long as no token before `length` changes in another way.
        """
        ...

    def add(self, token_id: int, *, is_sampled: bool = True) -> None:
        """Append a token, or `BREAK`; one that is not sampled repeats but does not count."""
        ...

    def cut(self, length: int) -> None:
        """Keep the first `length` tokens."""
        ...


class RunDetector:
    """Finds one token repeated many times.

    Examples:
        >>> detector = RunDetector(3)
        >>> for token_id in [7, 5, 5, 5, 5]:
        ...     detector.add(token_id)
        >>> detector.found
        Loop(begin=1, period=1, repeats=4)
    """

    def __init__(self, enough: int) -> None:
        """Start with an empty completion.

        Args:
            enough: Sampled repeats after the first occurrence that are a loop.
        """
        self._enough = enough
        self._ids: list[int] = []
        self._begins: list[int] = []  # per token: where the run that it belongs to begins
        self._sampled = [0]  # per length: sampled tokens so far

    @property
    def found(self) -> Loop | None:
        """The loop that the completion ends in."""
        if not self._ids:
            return None
        begin, end = self._begins[-1], len(self._ids)
        # The first token of the run is no repeat.
        if self._sampled[end] - self._sampled[begin + 1] < self._enough or self._ids[-1] == BREAK:
            return None
        return Loop(begin, 1, end - begin)

    def settled(self, length: int) -> int:
        """Return the length up to the first token of the run that ends at `length`."""
        if length < 1 or self._ids[length - 1] == BREAK:
            return length
        return self._begins[length - 1] + 1

    def add(self, token_id: int, *, is_sampled: bool = True) -> None:
        """Append a token."""
        ids = self._ids
        repeats = bool(ids) and ids[-1] == token_id != BREAK
        self._begins.append(self._begins[-1] if repeats else len(ids))
        ids.append(token_id)
        self._sampled.append(self._sampled[-1] + is_sampled)

    def cut(self, length: int) -> None:
        """Keep the first `length` tokens."""
        del self._ids[length:]
        del self._begins[length:]
        del self._sampled[length + 1 :]


class PeriodDetector:
    """Finds sequences of up to `MAX_PERIOD` tokens that repeat.

    For each period p it knows since which step each token equals the one p before it. Only the
    periods at which the last token matches can continue, and they are found by a chain through the
    occurrences of equal tokens, so a token costs as much as it has occurrences among the last 64.

        step       0 1 2 3 4 5 6
        tokens     a b c b c b c      runs after step 6: period 2 since step 3; period 4 since 5
        chain      - - - 1 2 3 4

    Examples:
        >>> detector = PeriodDetector([4] * MAX_PERIOD)
        >>> for token_id in [1, 2, 3, 2, 3, 2, 3]:
        ...     detector.add(token_id)
        >>> detector.found
        Loop(begin=1, period=2, repeats=3)
    """

    def __init__(self, enough: Sequence[int]) -> None:
        """Start with an empty completion.

        Args:
            enough: For each period from 1 on: the sampled repeated tokens that are a loop.
        """
        self._enough = (0, *enough)
        self._ids: list[int] = []
        self._before: list[int] = []  # per token: the step of the previous equal one, or -1
        self._latest: dict[int, int] = {}  # by token: the step of its last occurrence
        self._messages = [0]  # the steps at which messages begin
        self._sampled = [0]  # per length: sampled tokens so far
        self._runs: list[_Runs] = []  # per token: periods that continue, and since which step
        self._settled = [0]  # per length

    @property
    def found(self) -> Loop | None:
        """The loop that the completion ends in, with the shortest period if there are several."""
        if not self._runs:
            return None
        sampled, end = self._sampled, len(self._ids)
        for period, since in self._runs[-1]:
            if sampled[end] - sampled[since] >= self._enough[period]:
                begin = since - period
                return Loop(begin, period, (end - begin) // period)
        return None

    def settled(self, length: int) -> int:
        """Return the length before all runs at `length`, and before those that were broken since.

        A rewind to the beginning of a run brings back the runs that its tokens have broken:

            a b a a     period 1 since step 3; no other run
            a b a       after a rewind to step 3: period 2 since step 2, so that a rewind to 2 may
                        follow
        """
        return self._settled[length]

    def add(self, token_id: int, *, is_sampled: bool = True) -> None:
        """Append a token."""
        step = len(self._ids)
        self._ids.append(token_id)
        self._sampled.append(self._sampled[-1] + is_sampled)
        if token_id == BREAK:
            self._before.append(-1)
            self._runs.append(())
            self._settled.append(step + 1)
            self._messages.append(step + 1)
            return
        before = self._latest.get(token_id, -1)
        self._latest[token_id] = step
        self._before.append(before)
        runs = self._runs_at(step, before)
        self._runs.append(runs)
        settled = self._settled
        settled.append(min([settled[since] for _, since in runs]) if runs else step + 1)

    def _runs_at(self, step: int, before: int) -> _Runs:
        """The runs that the token at `step` continues or begins, shortest period first."""
        first = max(self._messages[-1], step - len(self._enough) + 1)
        if before < first:
            return ()
        last = dict(self._runs[-1])
        runs: list[tuple[int, int]] = []
        while before >= first:
            period = step - before
            runs.append((period, last.get(period, step)))
            before = self._before[before]
        return tuple(runs)

    def cut(self, length: int) -> None:
        """Keep the first `length` tokens."""
        for step in range(len(self._ids) - 1, length - 1, -1):
            self._remove(step)
        del self._ids[length:]
        del self._before[length:]
        del self._runs[length:]
        del self._settled[length + 1 :]
        del self._sampled[length + 1 :]

    def _remove(self, step: int) -> None:
        token_id, before = self._ids[step], self._before[step]
        if token_id == BREAK:
            self._messages.pop()
        elif before < 0:
            del self._latest[token_id]
        else:
            self._latest[token_id] = before
