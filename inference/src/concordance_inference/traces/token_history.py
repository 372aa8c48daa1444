"""The tokens of a trace: those of the completion, and those that were removed or replaced."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from concordance_inference.traces.schema import Alternative, Trace, TraceToken

#: Limit of one trace.
MAX_TOKENS = 100_000

#: Alternatives of a position.
NUM_TOP = 5

TextOf = Callable[[int], str]


class TokenHistory:
    """Appends to the tokens of a trace, and notes what becomes of them.

    Attributes:
        changed: Indices of the tokens that changed, until the reader clears it.
    """

    def __init__(self, trace: Trace, text_of: TextOf) -> None:
        """Start with an empty completion.

        Args:
            trace: Its `tokens` are appended to.
            text_of: Returns the text of a token.
        """
        self.changed: set[int] = set()
        self._trace = trace
        self._text_of = text_of
        self._current: list[int | None] = []  # per token of the completion: its index
        self._draws: dict[int, int] = {}  # of draws whose values are missing: the token's index
        self._drawn: int | None = None  # index of the token that was drawn and is not added yet

    @property
    def awaits_drawn(self) -> bool:
        """True if a drawn token is neither added nor replaced yet."""
        return self._drawn is not None

    def draw(self, draw: int, token_id: int, position: int, at: int) -> None:
        """Append a token that was sampled, before it is added to the completion."""
        self.replace_drawn()
        token = self._new(token_id, position, at)
        if token is not None:
            token.status = "replaced"  # until it is added
            self._drawn = self._draws[draw] = token.index

    def add_drawn(self) -> None:
        """Add the token that was drawn to the completion."""
        assert self._drawn is not None
        self._trace.tokens[self._drawn].status = "kept"
        self.changed.add(self._drawn)
        self._current.append(self._drawn)
        self._drawn = None

    def replace_drawn(self, mod: str | None = None, event: int | None = None) -> None:
        """Note that the token that was drawn is not added."""
        if self._drawn is not None:
            token = self._trace.tokens[self._drawn]
            token.removed_by, token.removed_at = mod, event
            self.changed.add(self._drawn)
            self._drawn = None

    def put(
        self,
        token_id: int,
        origin: Literal["sampled", "forced", "given"],
        mod: str | None = None,
        event: int | None = None,
        at: int = 0,
    ) -> None:
        """Add a token to the completion that was not drawn."""
        token = self._new(token_id, len(self._current), at)
        self._current.append(token.index if token else None)
        if token is not None:
            token.origin, token.mod, token.event = origin, mod, event

    def cut(self, kept: int, mod: str | None, event: int | None) -> int:
        """Remove all but the first tokens of the completion; return the number of those removed."""
        cut = self._current[kept:]
        del self._current[kept:]
        for index in cut:
            if index is not None:
                token = self._trace.tokens[index]
                token.status, token.removed_by, token.removed_at = "backtracked", mod, event
                self.changed.add(index)
        return len(cut)

    def set_values(self, draw: int, values: Sequence[float], *, is_adjusted: bool) -> None:
        """Set the probabilities of a drawn token."""
        index = self._draws.pop(draw, None)
        if index is None:
            return
        token = self._trace.tokens[index]
        logprob, adjusted, entropy, allowed = values[:4]
        token.logprob = _finite(logprob)
        token.adjusted_logprob = _finite(adjusted) if is_adjusted else token.logprob
        token.entropy = _finite(entropy)
        token.allowed = int(allowed) or None if is_adjusted else None
        n = (len(values) - 4) // 6
        ids, before, after, *others = (values[4 + i * n : 4 + (i + 1) * n] for i in range(6))
        later = after if is_adjusted else before
        found = list(zip(ids, before, later, strict=True))
        if is_adjusted:
            found += [each for each in zip(*others, strict=True) if each[0] not in ids]
        token.alternatives = [self._alternative(*fields) for fields in found]
        self.changed.add(index)
        if token.status == "replaced":
            self._copy_values(token)

    def _copy_values(self, drawn: TraceToken) -> None:
        """Set the probabilities of a token that was forced in place of a drawn one."""
        later = self._trace.tokens[drawn.index + 1 : drawn.index + 2]
        if not later or later[0].origin != "forced" or later[0].position != drawn.position:
            return
        (forced,) = later
        if forced.logprob is not None:  # the request has its own
            return
        forced.entropy, forced.alternatives = drawn.entropy, drawn.alternatives
        same = [each for each in drawn.alternatives if each.token_id == forced.token_id]
        if same:
            forced.logprob = same[0].logprob
        self.changed.add(forced.index)

    def set_logprobs(
        self, position: int, token_id: int, logprob: float, top: Sequence[tuple[int, float]]
    ) -> None:
        """Set the model's probabilities of a token that was not drawn, as the request has them."""
        index = self._current[position] if position < len(self._current) else None
        if index is None:
            return
        token = self._trace.tokens[index]
        if token.token_id == token_id and token.origin == "forced":
            token.logprob = _finite(logprob)
            token.alternatives = [
                Alternative(token_id=each, text=self._text_of(each), logprob=_finite(value))
                for each, value in top
            ]
            self.changed.add(index)

    def _alternative(self, token_id: float, logprob: float, adjusted: float) -> Alternative:
        return Alternative(
            token_id=int(token_id),
            text=self._text_of(int(token_id)),
            logprob=_finite(logprob),
            adjusted_logprob=_finite(adjusted),
        )

    def _new(self, token_id: int, position: int, at: int) -> TraceToken | None:
        tokens = self._trace.tokens
        if len(tokens) == MAX_TOKENS:
            self._trace.is_truncated = True
            return None
        token = TraceToken(
            index=len(tokens),
            position=position,
            token_id=token_id,
            text=self._text_of(token_id),
            at_ms=at / 1e6,
        )
        tokens.append(token)
        self.changed.add(token.index)
        return token


def _finite(value: float) -> float | None:
    """Return a number that JSON can have; `None` for the logarithm of zero and for NaN."""
    return value if math.isfinite(value) else None
