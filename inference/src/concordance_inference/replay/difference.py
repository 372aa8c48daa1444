"""Compares the trace of a replay with the one that was recorded."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from concordance_inference.traces.schema import Trace, TraceToken

#: Tokens before the difference that are shown.
_CONTEXT = 24


class Difference(Struct, frozen=True, kw_only=True):
    """The first difference between two traces.

    Attributes:
        what: `token`: other tokens, or from another source; `fate`: one of them removed a token
            that the other kept; `end`: equal tokens and another end.
        position: In the completion.
        context: The text before it, of the recorded completion at that time.
        recorded: The recorded token; `None` if there was none.
        replayed: The token of the replay; `None` if there is none.
        ends: How both ended, if that differs.
    """

    what: str
    position: int
    context: str
    recorded: TraceToken | None = None
    replayed: TraceToken | None = None
    ends: tuple[str, str] | None = None


class Comparison:
    """Compares a trace that grows with a recorded one."""

    def __init__(self, recorded: Trace, *, num_skipped: int = 0, num_given: int = 0) -> None:
        """Start at the first token.

        Args:
            recorded: The recorded trace.
            num_skipped: Its first tokens, which the replay is given.
            num_given: The tokens that the replay is given for them.
        """
        self._recorded = recorded
        self._num_given = num_given
        self._skipped = num_skipped
        self.num_same = 0  # tokens that were compared
        self.difference: Difference | None = None

    @property
    def is_cut(self) -> bool:
        """True if the recorded request was cancelled, so that a replay may be longer."""
        return self._recorded.finish_reason == "cancelled" or self._recorded.is_truncated

    @property
    def is_over(self) -> bool:
        """True if nothing is left to compare before the end."""
        return self._left == 0 or self.difference is not None

    @property
    def _left(self) -> int:
        return len(self._recorded.tokens) - self._skipped - self.num_same

    def follow(self, replayed: Trace) -> bool:
        """Compare the tokens that are new; return True if they are equal so far."""
        new = replayed.tokens[self._num_given + self.num_same :]
        while new and self._left and self.difference is None:
            recorded = self._recorded.tokens[self._skipped + self.num_same]
            if not _is_same(recorded, new[0]):
                self.difference = self._differs(recorded, new[0])
            else:
                self.num_same += 1
                new = new[1:]
        return self.difference is None

    def end(self, replayed: Trace) -> Difference | None:
        """Compare with a replay that has ended; return the first difference."""
        if self._recorded.level != "tokens":
            return self._completions(replayed)
        if not self.follow(replayed) or self.is_cut:
            return self._with_probabilities(replayed)
        rest = replayed.tokens[self._num_given + self.num_same :]
        if self._left:
            return self._differs(self._recorded.tokens[self._skipped + self.num_same], None)
        if rest:
            return self._differs(None, rest[0])
        return self._fates(replayed) or self._ends(replayed)

    def _with_probabilities(self, replayed: Trace) -> Difference | None:
        """Return the difference with what was recorded of its token later."""
        found = self.difference
        if found is None or found.replayed is None:
            return found
        return replace(found, replayed=replayed.tokens[found.replayed.index])

    def _fates(self, replayed: Trace) -> Difference | None:
        recorded = self._recorded.tokens[self._skipped :]
        for one, other in zip(recorded, replayed.tokens[self._num_given :], strict=True):
            if (one.status, one.removed_by) != (other.status, other.removed_by):
                return self._differs(one, other, what="fate")
        return None

    def _ends(self, replayed: Trace) -> Difference | None:
        recorded = self._recorded
        one, other = _end_of(recorded), _end_of(replayed)
        if one == other and recorded.completion_ids == replayed.completion_ids:
            return None
        shown = recorded.text[-200:]
        position = len(recorded.completion_ids)
        return Difference(what="end", position=position, context=shown, ends=(one, other))

    def _completions(self, replayed: Trace) -> Difference | None:
        """Compare completions, where no tokens were recorded."""
        kept = sorted(
            (token for token in replayed.tokens if token.status == "kept"),
            key=lambda token: token.position,
        )
        ids = self._recorded.completion_ids
        for i, token_id in enumerate(ids):
            token = kept[i] if i < len(kept) else None
            if token is None or token.token_id != token_id:
                recorded = TraceToken(index=-1, position=i, token_id=token_id)
                context = "".join(each.text for each in kept[:i][-_CONTEXT:])
                return Difference(
                    what="token", position=i, context=context, recorded=recorded, replayed=token
                )
            self.num_same += 1
        return None if self.is_cut else self._ends(replayed)

    def _differs(
        self, recorded: TraceToken | None, replayed: TraceToken | None, *, what: str = "token"
    ) -> Difference:
        either = recorded or replayed
        assert either is not None
        num = recorded.index if recorded is not None else len(self._recorded.tokens)
        return Difference(
            what=what,
            position=either.position,
            context=_text_before(self._recorded.tokens[:num], either.position),
            recorded=recorded,
            replayed=replayed,
        )


def _is_same(one: TraceToken, other: TraceToken) -> bool:
    fields = ("token_id", "position", "origin", "mod")
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def _end_of(trace: Trace) -> str:
    return trace.error or trace.finish_reason or trace.status


def _text_before(tokens: Sequence[TraceToken], position: int) -> str:
    """Return the end of the text before a position, as it was after these tokens."""
    texts: list[str] = []
    for token in tokens:
        if token.status != "replaced":
            del texts[token.position :]
            texts.append(token.text)
    return "".join(texts[:position][-_CONTEXT:])
