"""The beginning of a completion, which a request continues. Plain data."""

from msgspec import Struct

from concordance_inference.mark import Mark


class Beginning(Struct, frozen=True, kw_only=True, eq=False):
    """What an earlier request generated of the completion.

    A completion that was cut between the two tokens of a call's opening tag:

        token_ids    "Hi" " <" "tool" "_call"          as sampled and forced
        shown        "Hi <tool_call"                   what the client received
        text         "Hi"                              what a stream has sent at this point

    Attributes:
        completion_id: The request that generated it.
        token_ids: Its tokens.
        forced_by: Per token: the mod that forced it; `None`: sampled.
        num_sampled: Draws of the sampler that it took. The next draw has this index.
        dropped: Tokens that a mod forced and for which the budget had no room.
        dropped_by: The mod that forced them.
        text: The text that no later token changes, and that begins no stop string.
        shown: The whole text, with that of an incomplete character.
        marks: Where the names of special tokens are in `text`.
        shown_marks: Where they are in `shown`.
        was_streamed: The client received it as a stream.
    """

    completion_id: str
    token_ids: tuple[int, ...]
    forced_by: tuple[str | None, ...]
    num_sampled: int
    dropped: tuple[int, ...] = ()
    dropped_by: str | None = None
    text: str = ""
    shown: str = ""
    marks: tuple[Mark, ...] = ()
    shown_marks: tuple[Mark, ...] = ()
    was_streamed: bool = False

    @property
    def num_tokens(self) -> int:
        """Length of the beginning in tokens."""
        return len(self.token_ids)

    @property
    def num_forced(self) -> int:
        """Tokens that mods forced."""
        return len(self.forced_by) - self.forced_by.count(None)
