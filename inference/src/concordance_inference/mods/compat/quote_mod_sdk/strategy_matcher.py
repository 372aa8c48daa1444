"""Matching a completion against a strategy of `quote_mod_sdk`, in place of the SDK's `Matcher`."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from concordance_sdk.self_prompt.edit import Edit
from concordance_shared import ConstraintError

from concordance_inference.mods.compat.quote_mod_sdk.action_types import Backtrack, ForceTokens
from concordance_inference.mods.compat.quote_mod_sdk.strategies.base import texts_of
from concordance_inference.mods.compat.quote_mod_sdk.tokenizer import OlderTokenizer


class CompiledStrategy:
    """A strategy with a tokenizer, in place of the SDK's `CompiledConstraint`."""

    def __init__(self, spec: Any, suffix: str, tokenizer: Any) -> None:
        """Create the strategy.

        Args:
            spec: A strategy, or an object with `into_strategy`.
            suffix: The text that is forced after the answer.
            tokenizer: The model's tokenizer.
        """
        into = getattr(spec, "into_strategy", None)
        self._strategy: Any = into(tokenizer) if into else spec
        self._suffix = suffix
        self._tokenizer = tokenizer

    def start(self, *, at_start: bool = False) -> "StrategyMatcher":
        """Return a matcher at the start of an answer."""
        del at_start
        return StrategyMatcher(self._strategy, self._suffix, self._tokenizer)


class StrategyMatcher:
    """The state of one answer in a strategy, with the interface of the SDK's `Matcher`.

    Tokens that other mods force are treated as sampled ones: a strategy gives the allowed next
    tokens only, and cannot judge a text.
    """

    def __init__(self, strategy: Any, suffix: str, tokenizer: Any) -> None:
        """Start an answer."""
        self.token_ids: list[int] = []
        self.requested: Edit = Edit()  # the edit that the strategy's `step` requested
        self.is_ended_by_eos = False
        self._strategy = strategy
        self._tokenizer = tokenizer
        self._suffix = _encoded(tokenizer, suffix) if suffix else []
        self._begin()

    def _begin(self) -> None:
        self._state = self._strategy.start(self._tokenizer)
        self._num_answer: int | None = None  # length of the answer, once it is complete
        self._note_end(0)

    @property
    def num_tokens(self) -> int:
        """Number of tokens followed, including the suffix."""
        return len(self.token_ids)

    @property
    def is_complete(self) -> bool:
        """True if the answer and its suffix are complete."""
        if self.is_ended_by_eos:
            return True
        written = self._num_answer
        return written is not None and self.num_tokens >= written + len(self._suffix)

    def mask(self) -> bytes | None:
        """Return the allowed next tokens as a packed bitmask; `None` if all are allowed.

        Raises:
            ConstraintError: No token is allowed.
        """
        found = self._strategy.allowed_tokens(self._state, self._tokenizer)
        allowed = set(cast(Sequence[int], found or ()))
        find_disallowed = getattr(self._strategy, "disallowed_tokens", None)
        found = find_disallowed(self._state, self._tokenizer) if find_disallowed else None
        disallowed = set(cast(Sequence[int], found or ()))
        if not allowed and not disallowed:
            return None
        kept = _bits(allowed, disallowed, max(texts_of(self._tokenizer), default=0) + 1)
        if not kept.any():
            name = type(self._strategy).__name__
            raise ConstraintError(
                f"{name} allows no token after {self._text(self.token_ids)[-40:]!r}: all of "
                "`allowed_tokens` are in `disallowed_tokens`"
            )
        return np.packbits(kept, bitorder="little").tobytes()

    def forced(self) -> list[int]:
        """Return the tokens to force next: the rest of the suffix."""
        if self._num_answer is None or self.is_ended_by_eos:
            return []
        return self._suffix[self.num_tokens - self._num_answer :]

    def accepts(self, token_ids: Sequence[int]) -> int:
        """Follow tokens up to the end of the answer and its suffix; return their number."""
        for count, token_id in enumerate(token_ids):
            if self.is_complete:
                return count
            self._step(int(token_id))
        return len(token_ids)

    def extend(self, token_ids: Sequence[int]) -> None:
        """Do nothing: `accepts` has already followed the tokens."""

    def check(self) -> None:
        """Do nothing: a strategy has no check of a complete answer."""

    def rollback(self, n: int) -> None:
        """Backtrack by `n` tokens: restart the strategy with the others."""
        if n:
            kept = self.token_ids[: len(self.token_ids) - n]
            self.token_ids, self.is_ended_by_eos = [], False
            self._begin()
            self.accepts(kept)
            self.requested = Edit()

    @property
    def answer_ids(self) -> list[int]:
        """The tokens of the answer, without its suffix."""
        return self.token_ids[: self._num_answer]

    @property
    def answer(self) -> str:
        """The text of the answer, after the strategy's `trim_answer`."""
        text = self._text(self.answer_ids)
        trim = getattr(self._strategy, "trim_answer", None)
        return trim(text) if trim else text

    value = answer

    def _step(self, token_id: int) -> None:
        self.token_ids.append(token_id)
        if self._num_answer is not None:
            return
        action = self._strategy.step(self._state, token_id, self._tokenizer)
        if isinstance(action, ForceTokens):
            self.requested = self.requested.then(action.tokens)
        elif isinstance(action, Backtrack):
            self.requested = Edit(
                self.requested.n + action.n, (*self.requested.tokens, *(action.tokens or ()))
            )
        self._note_end(len(self.token_ids))
        if self._num_answer is None and token_id in _end_ids(self._tokenizer):
            self._num_answer, self.is_ended_by_eos = len(self.token_ids) - 1, True

    def _note_end(self, num_tokens: int) -> None:
        if self._strategy.is_complete(self._state):
            self._num_answer = num_tokens

    def _text(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True)


def _encoded(tokenizer: Any, text: str) -> list[int]:
    return [int(token_id) for token_id in tokenizer.encode(text, add_special_tokens=False)]


def _end_ids(tokenizer: Any) -> frozenset[int]:
    if isinstance(tokenizer, OlderTokenizer):
        return frozenset(tokenizer.modern.eos_token_ids)
    end = getattr(tokenizer, "eos_token_id", None)
    return frozenset() if end is None else frozenset({int(end)})


def _bits(allowed: set[int], disallowed: set[int], size: int) -> np.ndarray:
    """Combine allowed and disallowed tokens; an empty `allowed` allows all.  (vocab,) bool"""
    size = max(size, max(allowed, default=0) + 1, max(disallowed, default=0) + 1)
    bits = np.full(size, not allowed)
    bits[np.fromiter(allowed, np.int64)] = True
    bits[np.fromiter(disallowed, np.int64)] = False
    return bits
