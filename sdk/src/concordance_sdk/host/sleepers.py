"""The mods of a request that act in some messages only, and sleep in the others."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from concordance_shared import ChannelPlace

from concordance_sdk.channels.completion_channels import Channels, Stretch

if TYPE_CHECKING:
    from concordance_sdk.host.instance import ModInstance


class Sleepers:
    """Decides by the message that a completion is in which mods are called.

    A mod that enforces the arguments of calls has nothing to do in other messages. While it sleeps
    it is not called, and a host need not wait for it before the next token is sampled:

        completion     <|channel|> analysis <|message|> Hm <|end|> ... to=f <|message|> { } <|call|>
        ForwardPass    -           -        -           -  -       -   -              * *  *
        Added          -           -        -           -  -       -   *              * *  *

    `Added` is dispatched if the mod acts before or after the tokens.
    """

    def __init__(
        self,
        mods: Sequence["ModInstance"],
        following: Sequence["ModInstance"],
        channels: Channels,
    ) -> None:
        """Start before the first position.

        Args:
            mods: All mods of the request.
            following: Those that handle `Added`.
            channels: The channels of its completion.
        """
        self._channels = channels
        self._acts_in = {id(mod): acts_in for mod in mods if (acts_in := _acts_in(mod))}
        self._may_all_sleep = all(id(mod) in self._acts_in for mod in following)
        self._all_sleep = False  # at the last position
        self._stretch: Stretch | None = None  # that it is a part of
        self._num_cuts = 0

    def __bool__(self) -> bool:
        """True if a mod may sleep."""
        return bool(self._acts_in)

    def sleeps(self, mod: "ModInstance", begin: int, end: int) -> bool:
        """True if a mod acts neither at the position `begin` nor at `end`, both lengths."""
        acts_in = self._acts_in.get(id(mod))
        if acts_in is None:
            return False
        last, first = self._channels.stretch_at(end), self._channels.stretch_at(begin)
        return not acts_in(last.place) and (first is last or not acts_in(first.place))

    def move(self, length: int) -> bool:
        """Move to a position; return False if it is in the message of the last one.

        Args:
            length: Tokens before the position.
        """
        stretch = self._channels.stretch_at(length)
        self._num_cuts = self._channels.num_cuts
        if stretch is self._stretch:
            return False
        self._stretch = stretch
        self._all_sleep = self._may_all_sleep and not self._is_any_awake(stretch.place)
        return True

    def sleep_on(self, length: int) -> bool:
        """Move to a position, if no mod that handles `Added` acts there or at the last one.

        Args:
            length: Tokens before the position.
        """
        if not self._all_sleep:
            return False
        stretch = self._channels.stretch_at(length)
        if stretch is not self._stretch:
            # Tokens that were removed may have been in a message in which a mod acts.
            if self._channels.num_cuts != self._num_cuts or self._is_any_awake(stretch.place):
                return False
            self._stretch = stretch
        return True

    def _is_any_awake(self, place: ChannelPlace) -> bool:
        return any(acts_in(place) for acts_in in self._acts_in.values())


def _acts_in(mod: "ModInstance") -> Callable[[ChannelPlace], bool] | None:
    return getattr(mod, "acts_in", None)
