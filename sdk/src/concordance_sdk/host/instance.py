"""Instances of mods: a mod at work for one request, as `ModDispatch` calls it."""

import copy
import inspect
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from concordance_shared import (
    Event,
    ForwardPass,
    ModDefinitionError,
    RequestError,
)

from concordance_sdk.action_builder import Actions
from concordance_sdk.composition import ModUse, uses_of
from concordance_sdk.declared_logits import held_to
from concordance_sdk.definition import (
    CONTAINER,
    HANDLERS,
    PARTS,
    PREPARE,
    Handler,
    ModDefinition,
    check_max_backtrack,
    longest_hold,
)
from concordance_sdk.follower import Follower
from concordance_sdk.host.handler_errors import lost_report, not_returned, raised
from concordance_sdk.host.mod_scope import ModScope, set_current_mod
from concordance_sdk.host.part_instance import PartInstance
from concordance_sdk.request_context import RequestContext, set_current_request
from concordance_sdk.script.script import Script
from concordance_sdk.tokenizer import Tokenizer

T = TypeVar("T")

#: Calls in which a mod may raise a `RequestError`, to report that the request is at fault.
_BEFORE_EVENTS = frozenset({"__init__", PREPARE, PARTS, CONTAINER})

#: Event -> the name of its handler method.
_HANDLER_NAMES = {event: name for name, event in HANDLERS.items()}

_MAX_BACKTRACK = "max_backtrack"
_MISSING = object()


class ModInstance(Protocol):
    """The interface of an instance to `ModDispatch`.

    Events and actions are plain values that can be encoded, so an instance may live in another
    process.
    """

    @property
    def name(self) -> str:
        """The name that the request uses, for messages."""
        ...

    @property
    def max_backtrack(self) -> int | None:
        """Tokens that a stream holds back for it and its contained mods; `None` for all."""
        ...

    @property
    def instances(self) -> "Sequence[ModInstance]":
        """All that events are dispatched to, in order: its parts, itself, its contained mods."""
        ...

    def listens_to(self, event_type: type[Event]) -> bool:
        """True if it handles events of this type."""
        ...

    def ask(self, event: Event) -> object:
        """Call the handler of an event and return its action, unchecked.

        Raises:
            ModRaisedError: The handler raised.
        """
        ...


class CountedMod(Protocol):
    """A mod whose calls are counted."""

    @property
    def num_calls(self) -> int:
        """Calls of its handlers, and of those of its parts."""
        ...

    @property
    def seconds(self) -> float:
        """Time that they took."""
        ...

    @property
    def name(self) -> str:
        """The name that the request uses; that of a contained mod begins with its container's."""
        ...

    @property
    def contained(self) -> "Sequence[CountedMod]":
        """The mods that it contains."""
        ...


class RequestMod(CountedMod, ModInstance, Protocol):
    """A mod that a request names, with its parts and the mods that it contains.

    Attributes:
        request: The context that it shares with the request's other mods.
        may_park: True if its answers may be late: it runs in another process.
    """

    request: RequestContext
    may_park: bool

    def close(self) -> None:
        """Release what it holds; no event follows."""
        ...


class InProcessMod:
    """An instance of a mod in this process."""

    may_park = False

    def __init__(
        self,
        definition: ModDefinition,
        parameters: Mapping[str, Any],
        *,
        tokenizer: Tokenizer,
        request: RequestContext | None = None,
        name: str | None = None,
        within: Sequence[ModDefinition] = (),
    ) -> None:
        """Make an instance for one request, with its parts and the mods that it contains.

        Runs the author's `__init__`, `prepare`, `parts` and `mods`, in this order, and `prepare`
        of each part. May run on another thread than the one that dispatches events.

        Args:
            definition: The mod.
            parameters: Its parameters, validated.
            tokenizer: The model's tokenizer.
            request: The context that it shares with the request's other mods.
            name: The name that the request uses.
            within: The mods that contain it, outermost first.

        Raises:
            ModRaisedError: The author's code raised.
            RequestError: The author's code raised this, to report that the request is at fault.
            ModDefinitionError: `parts` or `mods` returned something else, or the mod contains
                itself.
        """
        self.name = name or definition.name
        self.request = RequestContext() if request is None else request
        self.seconds = 0.0  # spent in the author's code
        self.num_calls = 0  # of its handlers, and those of its parts
        self.definition = definition
        self._tokenizer = tokenizer
        self._actions = Actions(tokenizer)
        self.scope = ModScope(self.name, self.request.request_id)
        self._context = _context_of(self.scope, self.request)
        self._target = target = self._construct(copied(parameters))
        acts_in = definition.acts_in
        #: True in a message in which it acts; `None` if it acts everywhere.
        self.acts_in = None if acts_in is None else partial(acts_in, target)
        self._handlers = {
            event: self._bound(event, handler, target)
            for event, handler in definition.handlers.items()
        }
        parts = self._parts(target)
        contained = self._contained(target, within)
        self.max_backtrack = longest_hold(
            (
                self._own_max_backtrack(target),
                *(part.part_max_backtrack for part in parts),
                *(mod.max_backtrack for mod in contained),
            )
        )
        self.contained = tuple(contained)
        self.instances: tuple[ModInstance, ...] = (
            *parts,
            self,
            *(instance for mod in contained for instance in mod.instances),
        )

    def close(self) -> None:
        """Do nothing: it holds nothing outside of this process."""

    def listens_to(self, event_type: type[Event]) -> bool:
        """True if the mod has a handler of its own for events of this type."""
        return event_type in self._handlers

    def ask(self, event: Event) -> object:
        """Call the handler of this event's type.

        Raises:
            ModRaisedError: The handler raised; the exception is its cause.
        """
        function, arguments = self._handlers[type(event)]
        return self.handle(event, function, *arguments)

    def handle(self, event: Event, function: Callable[..., object], *arguments: object) -> object:
        """Call a handler of the mod or of a part, with the logits that the mod declares.

        Raises:
            ModRaisedError: The handler raised; the exception is its cause.
            InvalidActionError: The handler made an action and returned `None`, or made a report
                and returned another action without it.
        """
        event_type = type(event)
        self.num_calls += 1
        if isinstance(event, ForwardPass):
            event = held_to(self.definition.logits, event, mod=self.name)
        actions = self._actions
        actions.made = None
        if actions.reports:
            actions.reports = []
        answer = self.call(function, event_type.__name__, event.step, event, *arguments)
        if answer is None and actions.made is not None:
            by = "stop()" if actions.made is actions.stopped else None
            raise not_returned(self.name, event, function, actions.made, by=by)
        if actions.reports and (lost := lost_report(actions.reports, answer)):
            raise not_returned(self.name, event, function, lost, instead=answer)
        return answer

    def call(self, function: Callable[..., T], where: str, step: int, *args: object) -> T:
        """Call the author's code in the mod's context, and time it.

        Raises:
            ModRaisedError: It raised.
            RequestError: It raised this before the first event.
        """
        # `call_in_progress` reads `self`, `where`, `step` and `started` from other threads.
        started = time.perf_counter()
        try:
            return self._context.run(function, *args)
        except BaseException as exc:  # `sys.exit()` in a mod must not end the engine
            if isinstance(exc, KeyboardInterrupt) and _is_main_thread():
                raise
            if isinstance(exc, RequestError) and where in _BEFORE_EVENTS:
                raise
            raise raised(self.name, where, step, exc) from exc
        finally:
            self.seconds += time.perf_counter() - started

    def _construct(self, parameters: Mapping[str, Any]) -> object | None:
        """The object whose methods handle events; `None` for a function."""
        definition, cls = self.definition, self.definition.target
        if definition.is_script:
            return Script(cls, parameters, tokenizer=self._tokenizer, request=self.request)
        if not definition.is_class:
            return None
        instance = cls.__new__(cls)
        for key, value in parameters.items():
            setattr(instance, key, value)
        self.call(instance.__init__, "__init__", 0)
        if hasattr(cls, PREPARE):
            self.call(instance.prepare, PREPARE, 0, self._tokenizer)
        return instance

    def _bound(
        self, event: type[Event], handler: Handler, target: object | None
    ) -> tuple[Callable[..., object], tuple[object, ...]]:
        """A handler's function, and its arguments after the event."""
        function = handler.function
        if isinstance(target, Script):
            return getattr(target, _HANDLER_NAMES[event]), (self._actions, self._tokenizer)
        if target is not None:
            function = function.__get__(target)  # type: ignore[attr-defined]  # plain functions are descriptors
        arguments = (
            (self._actions, self._tokenizer) if handler.takes_tokenizer else (self._actions,)
        )
        return function, arguments

    def _own_max_backtrack(self, target: Any) -> int | None:
        """The declared number of tokens, or that of the instance's attribute or property."""
        definition = self.definition
        struct = definition.parameters
        if struct is None or _MAX_BACKTRACK in struct.__struct_fields__:
            return definition.max_backtrack
        return self.max_backtrack_of(target, default=definition.max_backtrack)

    def max_backtrack_of(self, target: object, *, default: int | None) -> int | None:
        """The `max_backtrack` of this mod's object or of a part; `default` if it has none.

        Raises:
            ModDefinitionError: It is not a number of tokens.
            ModRaisedError: A property raised.
        """
        # `getattr` with a default would hide an `AttributeError` inside a property.
        if inspect.getattr_static(target, _MAX_BACKTRACK, _MISSING) is _MISSING:
            return default
        value = self.call(lambda: getattr(target, _MAX_BACKTRACK), _MAX_BACKTRACK, 0)
        if problem := check_max_backtrack(value):
            owner = "" if target is self._target else f"its part {target!r:.60}: "
            raise ModDefinitionError(f"mod {self.name!r}: {owner}{problem}", mod=self.name)
        return value

    def _parts(self, target: Any) -> list[PartInstance]:
        if not self.definition.has_parts:
            return []
        returned: object = self.call(target.parts, PARTS, 0)
        if not isinstance(returned, Iterable) or isinstance(returned, str | bytes):
            raise ModDefinitionError(
                f"mod {self.name!r}: `{PARTS}()` returned {returned!r:.80}; it returns a list of "
                "parts",
                mod=self.name,
            )
        # In the mod's context, since `parts` may be a generator.
        parts = self.call(lambda: list(cast(Iterable[Follower], returned)), PARTS, 0)
        for i, part in enumerate(parts):
            if any(part is earlier for earlier in parts[:i]):
                raise ModDefinitionError(
                    f"mod {self.name!r}: `{PARTS}()` returned the part {part!r:.60} twice; it "
                    "would be called twice for each event, so return another object",
                    mod=self.name,
                )
        return [PartInstance(self, part, self._actions, self._tokenizer) for part in parts]

    def _contained(self, target: Any, within: Sequence[ModDefinition]) -> list["InProcessMod"]:
        if not self.definition.is_container:
            return []
        within = (*within, self.definition)
        if any(outer.target is self.definition.target for outer in within[:-1]):
            chain = " > ".join(definition.name for definition in within)
            raise ModDefinitionError(f"mod {self.name!r} contains itself: {chain}", mod=self.name)
        return [
            InProcessMod(
                use.definition,
                use.parameters,
                tokenizer=self._tokenizer,
                request=self.request,
                name=f"{self.name}/{use.definition.name}",
                within=within,
            )
            for use in self._uses(self.call(target.mods, CONTAINER, 0))
        ]

    def _uses(self, contained: object) -> Sequence[ModUse]:
        """Validate the return value of `mods`, with this mod as the one at fault."""
        try:
            return uses_of(contained, name=self.name)
        except Exception as exc:
            raise raised(self.name, CONTAINER, 0, exc) from exc


def copied(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Copy values that could change: requests share a `ModUse`, and must not share its lists."""
    return {
        key: copy.deepcopy(value) if isinstance(value, list | dict | set) else value
        for key, value in parameters.items()
    }


def _context_of(scope: ModScope, request: RequestContext) -> Context:
    """The `contextvars.Context` of a mod's code, in which mod and request are the current ones."""
    context = copy_context()
    context.run(set_current_request, request)
    context.run(set_current_mod, scope)
    return context


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
