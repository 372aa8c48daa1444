"""Parts of a mod, as instances that `ModDispatch` calls."""

import inspect
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from concordance_shared import Event, ModDefinitionError

from concordance_sdk.action_builder import Actions
from concordance_sdk.composition import ModUse
from concordance_sdk.definition import (
    CONTAINER,
    GIVEN,
    PARTS,
    PREPARE,
    Fail,
    check_spelling,
    handler_of,
)
from concordance_sdk.follower import FOLLOWED, Follower, followed_events
from concordance_sdk.mod import marked_definition
from concordance_sdk.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from concordance_sdk.host.instance import InProcessMod

#: Class of a part -> its handlers' names, with True for those that take the tokenizer.
_checked: WeakKeyDictionary[type, dict[str, bool]] = WeakKeyDictionary()


#: A function, and its arguments after the event.
_Call = tuple["Callable[..., object]", tuple[object, ...]]


class PartInstance:
    """A part of a mod, as an instance that acts under the mod's name."""

    def __init__(
        self, owner: "InProcessMod", part: Follower, actions: Actions, tokenizer: Tokenizer
    ) -> None:
        """Check and prepare a part.

        Args:
            owner: The mod.
            part: The object that its `parts` returned.
            actions: The action builder of the mod.
            tokenizer: The model's tokenizer.

        Raises:
            ModDefinitionError: It is not a part, or a method of it cannot be called.
        """

        def fail(what: str) -> ModDefinitionError:
            return ModDefinitionError(f"mod {owner.name!r}: {what}", mod=owner.name)

        if problem := _problem_of(part):
            raise fail(f"`{PARTS}()` returned {problem}")
        methods = followed_events(part)
        if not methods and not isinstance(cast(object, part), Follower):
            raise fail(
                f"`{PARTS}()` returned a part {part!r:.60} that has none of the methods "
                f"{', '.join(FOLLOWED)}"
            )
        takes_tokenizer = _checked.get(type(part)) or _check_methods(type(part), methods, fail)
        self.name = owner.name
        self.instances = (self,)
        self._owner = owner
        self._handlers: dict[type[Event], _Call] = {
            event: (
                getattr(part, name),
                (actions, tokenizer) if takes_tokenizer[name] else (actions,),
            )
            for event, name in methods.items()
        }
        if hasattr(part, PREPARE):
            owner.call(part.prepare, PREPARE, 0, tokenizer)
        #: Of this part alone; `max_backtrack` is what the whole mod may backtrack.
        self.part_max_backtrack = owner.max_backtrack_of(part, default=0)

    @property
    def max_backtrack(self) -> int | None:
        """Tokens that a stream holds back for the whole mod."""
        return self._owner.max_backtrack

    def listens_to(self, event_type: type[Event]) -> bool:
        """True if the part follows events of this type."""
        return event_type in self._handlers

    def ask(self, event: Event) -> object:
        """Call the part's handler of this event's type.

        Raises:
            ModRaisedError: The handler raised; the exception is its cause.
        """
        function, arguments = self._handlers[type(event)]
        return self._owner.handle(event, function, *arguments)


def _problem_of(part: object) -> str | None:
    """Describe a value that is no part, but is used in another way; `None` for others."""
    if isinstance(part, ModUse) or marked_definition(part) or marked_definition(type(part)):
        return f"the mod {part!r:.60}; list mods in `{CONTAINER}()`"
    if isinstance(part, type):
        return f"the class {part.__name__}; return an object of it"
    if callable(getattr(part, "write", None)):
        return f"the constraint {part!r:.60}; return Constrained(constraint), which is a part"
    return None


def _check_methods(cls: type, methods: dict[type[Event], str], fail: Fail) -> dict[str, bool]:
    """Check the methods of a part's class, once for each class."""

    def fail_part(what: str) -> ModDefinitionError:
        return fail(f"its part {cls.__name__}: {what}")

    for name, method in inspect.getmembers(cls, inspect.isfunction):
        # A part may have any other methods that its mod calls.
        if name not in FOLLOWED and GIVEN[0] in inspect.signature(method).parameters:
            check_spelling(name, method, fail_part)
    takes_tokenizer: dict[str, bool] = {}
    for name in methods.values():
        is_method = not isinstance(inspect.getattr_static(cls, name), staticmethod | classmethod)
        handler = handler_of(getattr(cls, name), f"`{name}`", fail_part, is_method=is_method)
        takes_tokenizer[name] = handler.takes_tokenizer
    _checked[cls] = takes_tokenizer
    return takes_tokenizer
