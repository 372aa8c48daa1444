"""A mod at work for one request: how the steering asks it, whatever it is made of."""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Protocol, TypeVar

from concordance_shared import (
    Conversation,
    Event,
    ForwardPass,
    ModDefinitionError,
    ModError,
    ModRaisedError,
    RequestError,
)
from concordance_shared.errors import message_of

from concordance_sdk.action_builder import ACTIONS
from concordance_sdk.composition import ModUse, uses_of
from concordance_sdk.context import set_conversation
from concordance_sdk.declared_logits import held_to
from concordance_sdk.definition import PREPARE, Handler, ModDefinition, longest_hold
from concordance_sdk.per_request import hold_in
from concordance_sdk.tokenizer import Tokenizer

T = TypeVar("T")

#: What mods call: its lines say less of a mod than the mod's own.
_CALLED = {"concordance_sdk", "concordance_shared", "concordance_inference", "numpy"} | (
    sys.stdlib_module_names
)

#: Where a mod's code may say that the request is at fault.
_BEFORE_EVENTS = frozenset({"__init__", PREPARE, "mods"})


class ModInstance(Protocol):
    """What the steering needs of a mod: which events it wants, and its answer to one.

    Events and actions are plain values that can be encoded, so an instance may as well live in
    another process.
    """

    @property
    def name(self) -> str:
        """What the request called it."""
        ...

    @property
    def max_backtrack(self) -> int | None:
        """How many tokens a stream holds back for it and its parts; `None` for all of them."""
        ...

    @property
    def parts(self) -> "Sequence[ModInstance]":
        """Itself, and behind it the mods that it contains, in the order in which they act."""
        ...

    def listens_to(self, event_type: type[Event]) -> bool:
        """Whether it wants events of this type."""
        ...

    def ask(self, event: Event) -> object:
        """Its answer to an event, unchecked.

        Raises:
            ModRaisedError: Its own code raised.
        """
        ...


class InProcessMod:
    """A mod that runs in this process, called directly."""

    def __init__(
        self,
        definition: ModDefinition,
        parameters: Mapping[str, Any],
        *,
        tokenizer: Tokenizer,
        conversation: Conversation,
        name: str | None = None,
        within: Sequence[ModDefinition] = (),
    ) -> None:
        """Make an instance for one request, and instances of the mods that it contains.

        Args:
            definition: The mod.
            parameters: Its parameters, validated.
            tokenizer: The model's tokenizer.
            conversation: The request's messages and tools.
            name: What the request called it.
            within: The mods that contain it, from the outside in.

        Everything that its author writes for it to be ready runs here: `__init__`, `prepare` and
        `mods`. May be made on another thread than the one on which it is asked.

        Raises:
            ModRaisedError: Its `__init__`, `prepare` or `mods` raised.
            RequestError: They raised this, to say that the request is at fault.
            ModDefinitionError: What `mods` returned are not mods, or it contains itself.
        """
        self.name = name or definition.name
        self.seconds = 0.0  # spent in the mod's own code
        self._definition = definition
        self._tokenizer = tokenizer
        self._conversation = conversation
        self._context = _context_for(conversation)
        target = self._construct(parameters) if definition.is_class else None
        self._handlers = {
            event: _bound(handler, target, tokenizer)
            for event, handler in definition.handlers.items()
        }
        contained = self._contained(target, within)
        self.parts: tuple[InProcessMod, ...] = (self, *contained)
        self.max_backtrack = longest_hold(
            (definition.max_backtrack, *(part.max_backtrack for part in contained))
        )

    def listens_to(self, event_type: type[Event]) -> bool:
        """Whether it has a handler for events of this type."""
        return event_type in self._handlers

    def ask(self, event: Event) -> object:
        """Call the handler of this event's type.

        Raises:
            ModRaisedError: The handler raised; what it raised is the cause, whatever it was.
        """
        event_type = type(event)
        if isinstance(event, ForwardPass):
            event = held_to(self._definition.logits, event, mod=self.name)
        function, behind = self._handlers[event_type]
        return self._call(function, event_type.__name__, event.step, event, *behind)

    def _contained(
        self, target: Any, within: Sequence[ModDefinition]
    ) -> tuple["InProcessMod", ...]:
        """Instances of the mods that it contains, and of those that they contain."""
        if not self._definition.is_container:
            return ()
        within = (*within, self._definition)
        if any(outer.target is self._definition.target for outer in within[:-1]):
            chain = " > ".join(definition.name for definition in within)
            raise ModDefinitionError(f"mod {self.name!r} contains itself: {chain}", mod=self.name)
        uses = self._uses(self._call(target.mods, "mods", 0))
        instances = [
            InProcessMod(
                use.definition,
                use.parameters,
                tokenizer=self._tokenizer,
                conversation=self._conversation,
                name=f"{self.name}/{use.definition.name}",
                within=within,
            )
            for use in uses
        ]
        return tuple(part for instance in instances for part in instance.parts)

    def _uses(self, contained: object) -> Sequence[ModUse]:
        """What `mods` returned. Whatever is wrong with it, this mod is at fault."""
        try:
            return uses_of(contained, name=self.name)
        except Exception as exc:
            raise _raised(self.name, "mods", 0, exc) from exc

    def _construct(self, parameters: Mapping[str, Any]) -> object:
        cls = self._definition.target
        instance = cls.__new__(cls)
        for key, value in parameters.items():
            setattr(instance, key, value)
        self._call(instance.__init__, "__init__", 0)
        if hasattr(cls, PREPARE):
            self._call(instance.prepare, PREPARE, 0, self._tokenizer)
        return instance

    def _call(self, function: Callable[..., T], where: str, step: int, *args: object) -> T:
        started = time.perf_counter()
        try:
            return self._context.run(function, *args)
        except BaseException as exc:  # `sys.exit()` in a mod must not end the engine
            if isinstance(exc, KeyboardInterrupt) and _is_main_thread():
                raise
            if isinstance(exc, RequestError) and where in _BEFORE_EVENTS:
                raise
            raise _raised(self.name, where, step, exc) from exc
        finally:
            self.seconds += time.perf_counter() - started


def _context_for(conversation: Conversation) -> Context:
    """What a mod's code runs in: it knows its own request's conversation, and nobody else's.

    It also keeps, for as long as the instance lives, what objects that requests share make for
    this one.
    """
    context = copy_context()
    context.run(set_conversation, conversation)
    context.run(hold_in, [])
    return context


def _bound(
    handler: Handler, target: object | None, tokenizer: Tokenizer
) -> tuple[Callable[..., object], tuple[object, ...]]:
    """A handler's function, and its arguments behind the event."""
    function = handler.function
    if target is not None:
        function = function.__get__(target)  # type: ignore[attr-defined]  # plain functions are descriptors
    return function, (ACTIONS, tokenizer) if handler.takes_tokenizer else (ACTIONS,)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _raised(name: str, where: str, step: int, exc: BaseException) -> ModError:
    if isinstance(exc, ModError) and exc.mod is not None:
        return exc
    return ModRaisedError(
        f"mod {name!r} raised {type(exc).__name__} at {where} (step {step}): {message_of(exc)}"
        f"{_place(exc.__traceback__)}",
        mod=name,
        event=where,
        step=step,
    )


def _place(trace: TracebackType | None) -> str:
    """Where in the mod it was raised: its innermost line, or any if it has none."""
    frames = [
        (frame.f_globals.get("__name__", ""), frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(trace)
        if frame.f_code.co_filename != __file__
    ]
    frames = [each for each in frames if each[0].partition(".")[0] not in _CALLED] or frames
    return f" ({frames[-1][1]}:{frames[-1][2]})" if frames else ""
