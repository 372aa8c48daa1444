"""The beginning of a completion that branches off another one. Plain data."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

#: The mod that forces the tokens at which a branch begins, in events, responses and traces.
BRANCH = "@branch"

#: Limits of what is put at the position of a branch: tokens, and characters of a text.
MAX_ADDED = 4096
MAX_CHARS = 65536

TokenId = Annotated[int, Meta(ge=0, le=2**53)]


class BranchPoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a branch begins, and with which tokens.

    Attributes:
        id: The completion that it branches off: the id of a response, or of a request.
        position: Index into the tokens of the completion.
        token_ids: The tokens to put there; none: the model chooses again.
        text: A text to put there instead.
    """

    id: Annotated[str, Meta(min_length=1, max_length=544)]
    position: Annotated[int, Meta(ge=0, le=2**53)]
    token_ids: Annotated[list[TokenId], Meta(max_length=MAX_ADDED)] | None = None
    text: Annotated[str, Meta(max_length=MAX_CHARS)] | None = None


class Branch(Struct, frozen=True, kw_only=True, eq=False):
    """What a completion has of another one, and the tokens that are put there.

        parent    "The" " sky" " is" " blue" " today"
        branch    "The" " sky" " is" " grey" ...          token_ids: 3 tokens, added: " grey"

    Attributes:
        parent: The request of the other completion.
        named: The id with which the client named it.
        token_ids: The first tokens of the other completion.
        forced_by: Per token: the mod that forced it; `None`: sampled.
        added: The tokens that follow, which `BRANCH` forces.
        num_sampled: Draws of the sampler up to here. The next draw has this index.
    """

    parent: str
    named: str
    token_ids: tuple[int, ...]
    forced_by: tuple[str | None, ...]
    added: tuple[int, ...]
    num_sampled: int

    @property
    def position(self) -> int:
        """Tokens of the other completion."""
        return len(self.token_ids)

    @property
    def num_forced(self) -> int:
        """Tokens of the other completion that its mods forced."""
        return len(self.forced_by) - self.forced_by.count(None)

    @property
    def num_tokens(self) -> int:
        """Tokens with which the completion begins."""
        return len(self.token_ids) + len(self.added)


def num_draws(forced_by: Sequence[str | None], num_added: int) -> int:
    """Count the draws up to a branch, as if all its own tokens had been sampled.

    So a branch that repeats the token of its parent continues as its parent did: in a request
    without mods, the draw at each position depends on the seed and the position only.
    """
    return forced_by.count(None) + forced_by.count(BRANCH) + num_added
