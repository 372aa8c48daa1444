"""Parts of a mod: objects that follow a request's events and may act on them.

    @mod
    class Verdict:
        def parts(self):
            return [Constrained(ChoicesStrat(["guilty", "not guilty"])), PhraseBan(["um"])]

The host forwards events to the parts of a class mod. `Constrained`, `SelfPrompt`, `FlowEngine` and
`PhraseBan` are parts.
"""

from typing import Protocol, runtime_checkable

from concordance_shared import Added, Event, Finished, ForwardPass, Prefilled, Returned, Sampled

from concordance_sdk.action_builder import Actions
from concordance_sdk.tokenizer import Tokenizer

#: Method names of a part, and the events that they handle.
FOLLOWED: dict[str, type[Event]] = {
    "prefilled": Prefilled,
    "forward_pass": ForwardPass,
    "sampled": Sampled,
    "added": Added,
    "finished": Finished,
}


@runtime_checkable
class Follower(Protocol):
    """A part of a class mod, to which the host forwards events.

    Inherit and override the methods for the events to follow; a part is called for no others. As
    those of a mod, they take `(event, actions)` or `(event, actions, tokenizer)`. At
    each event the parts of a mod are called in order, then the mod's own handler. They act as mods
    in a list do: adjustments compose, the first part that forces, backtracks or ends wins.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> class NoTabs(Follower):
        ...     def forward_pass(self, event, actions, tokenizer):
        ...         return actions.adjust_logits(ban=tokenizer.encode(chr(9)))
        >>> @mod
        ... class Plain:
        ...     def parts(self):
        ...         return [NoTabs()]
        >>> chr(9) in play(Plain, script=chr(9), max_tokens=1).text
        False
    """

    @property
    def max_backtrack(self) -> int | None:
        """Tokens that a stream holds back for this part; `None` for the whole completion."""
        return 0

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Do slow work, such as compiling, before the request is scheduled."""

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> Returned:
        """Follow the prompt."""

    def forward_pass(self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer) -> Returned:
        """Act before a position is sampled."""

    def sampled(self, event: Sampled, actions: Actions, tokenizer: Tokenizer) -> Returned:
        """Act on a sampled token before it is appended."""

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Returned:
        """Follow appended tokens."""

    def finished(self, event: Finished, actions: Actions, tokenizer: Tokenizer) -> Returned:
        """Follow the end of the request."""


def followed_events(part: object) -> dict[type[Event], str]:
    """The events that a part follows, with the names of the methods that it defines for them."""
    defined = {name: getattr(type(part), name, None) for name in FOLLOWED}
    return {
        event: name
        for name, event in FOLLOWED.items()
        if callable(defined[name]) and defined[name] is not getattr(Follower, name)
    }
