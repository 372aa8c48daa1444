"""Follows the completion of a row by the rules for its tokens. No arrays."""

from collections.abc import Sequence
from typing import Any

from concordance_sdk.host.request_state import RequestState

from concordance_inference.token_rules import LegalTokens, TokenRules


class RuleTracker:
    """The state of a completion by its `TokenRules`, through appended and removed tokens.

    A position may be sampled while the token in front of it is on the device only. Its mask is
    then a guess, which is right unless that token changes the state. Once the token is known,
    `is_right` says if the guess was; if not, the position is sampled again from the same logits,
    with the same noise. So a completion does not depend on what was guessed:

        tokens           ... the  sky  ?             `?` is sampled, and not known yet
        mask of `?`      content
        mask after `?`   content, a guess            `?` is `<|end|>`: only `<|start|>` is legal
                                                     next, so that position is sampled again
    """

    def __init__(self, rules: TokenRules[Any], state: RequestState) -> None:
        """Follow a request with an empty completion."""
        self._rules = rules
        self._after = rules.after
        self._request = state
        self._prompt: Sequence[int] | None = None  # of which the first state was computed
        self._first: Any = None
        self._changes: list[tuple[int, Any]] = []  # lengths from which a state holds
        self._num_seen = 0
        # Of the position that was sampled last and of the one before: a length, and its mask.
        self._mask: tuple[int, LegalTokens | None] = (-1, None)
        self._mask_before = self._mask
        state.followers.append(self)

    def extend(self, token_ids: Sequence[int]) -> None:
        """Follow appended tokens."""
        state = self._state
        for token_id in token_ids:
            self._num_seen += 1
            after = self._after(state, token_id)
            if after is not state:
                self._changes.append((self._num_seen, after))
                state = after

    def cut(self, length: int) -> None:
        """Follow a completion that was cut to a length."""
        self._num_seen = length
        while self._changes and self._changes[-1][0] > length:
            self._changes.pop()

    @property
    def legal(self) -> LegalTokens | None:
        """The tokens that may be next; `None` if all may."""
        return self._rules.legal(self._state)

    def mask(self, *, is_pending: bool) -> LegalTokens | None:
        """Return the tokens that the next position is sampled from; `None` for all.

        Args:
            is_pending: The token in front of the position is sampled and not known yet.
        """
        length, state = self._num_seen + is_pending, self._state
        if is_pending:
            state = self._rules.usual(state)
        mask = None if state is None else self._rules.legal(state)
        if self._mask[0] == length - 1:
            self._mask_before = self._mask
        elif self._mask_before[0] != length - 1:
            self._mask_before = (-1, None)
        self._mask = (length, mask)
        return mask

    def is_right(self) -> bool:
        """True if the next position was sampled from the tokens that may be next."""
        at, used = self._mask
        if at != self._num_seen:
            at, used = self._mask_before
            used = used if at == self._num_seen else None
        legal = self._rules.legal(self._state)
        return used is legal or used == legal

    @property
    def _state(self) -> Any:
        """The state at the end of the completion."""
        if self._changes:
            return self._changes[-1][1]
        if self._prompt is None:  # mods may have replaced the prompt; it is final from here on
            self._prompt = self._request.token_ids[: self._request.prompt_len]
            self._first = self._rules.start(self._prompt)
        return self._first
