"""Rules for the tokens of a completion: which may be next, by a state machine over token ids.

A chat format makes them; the engine masks logits by them. Plain data, without arrays.
"""

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct


class LegalTokens(Struct, frozen=True):
    """The tokens that may be next.

    Attributes:
        token_ids: These tokens, or all tokens but these.
        is_complement: All but `token_ids`.
    """

    token_ids: frozenset[int]
    is_complement: bool = False

    def __contains__(self, token_id: int) -> bool:
        return (token_id in self.token_ids) != self.is_complement

    @property
    def only(self) -> int | None:
        """The only token that may be next; `None` if there are several."""
        if self.is_complement or len(self.token_ids) != 1:
            return None
        (token_id,) = self.token_ids
        return token_id


S = TypeVar("S")


class TokenRules(Protocol[S]):
    """A state machine over token ids. Its states are immutable."""

    def start(self, prompt_ids: Sequence[int]) -> S:
        """Return the state at the beginning of a completion.

        Args:
            prompt_ids: The prompt.
        """
        ...

    def after(self, state: S, token_id: int) -> S:
        """Return the state after a token, which a mod may have forced against the rules.

        The state itself for a token that leaves it unchanged, as most do.
        """
        ...

    def legal(self, state: S) -> LegalTokens | None:
        """Return the tokens that may be next; `None` if all may."""
        ...

    def usual(self, state: S) -> S | None:
        """Return the state after the next token if that is likely to be known in advance.

        Used to mask a position before the token in front of it is known; a wrong guess costs a
        second sampling. `None`: it depends on the token.
        """
        ...


def follow(rules: TokenRules[S], state: S, token_ids: Collection[int]) -> S:
    """Return the state after several tokens."""
    for token_id in token_ids:
        state = rules.after(state, token_id)
    return state
