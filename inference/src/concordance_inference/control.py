"""Commands to running requests, as the server sends them to the engine: plain data, no arrays.

The law: a command at step k has the effect of a mod named `@control`, the first in the request's
list, that returns the same action at `ForwardPass` of step k.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from concordance_sdk.host.instance import RequestMod
from concordance_sdk.request_context import RequestContext
from concordance_shared import (
    AdjustedLogits,
    Backtrack,
    ConflictError,
    EmitError,
    ForceOutput,
    ForceTokens,
    RequestError,
)
from msgspec import Struct

from concordance_inference.generation import ModCall

#: The name under which commands act, in `forced_by` and in errors. No mod can have it.
CONTROL = "@control"

#: The longest time that a command waits to be applied, in seconds.
APPLY_S = 10.0

#: Limit of commands to one request that wait to be applied.
MAX_QUEUED = 64

State = Literal["waiting", "prefilling", "running", "paused", "ended"]


class UnknownRequestError(RequestError):
    """There is no running request of this id."""

    status_code = 404
    type = "not_found_error"
    code = "request_not_found"


class RefusedCommandError(ConflictError):
    """A command does not fit the state of its request, which is unchanged."""

    code = "command_refused"


class RequestChangedError(RefusedCommandError):
    """The completion changed since it was read, so that a command no longer fits."""


class Expected(Struct, frozen=True, kw_only=True):
    """A condition of a command: the completion has only grown by sampled tokens since it was read.

    Attributes:
        num_edits: As it was read.
        num_tokens: Length of the completion, as it was read.
        without: Texts that must not have appeared since.
    """

    num_edits: int
    num_tokens: int
    without: tuple[str, ...] = ()


class Act(Struct, frozen=True, kw_only=True):
    """Return an action by hand."""

    action: ForceTokens | Backtrack | ForceOutput | EmitError
    expected: Expected | None = None


class BacktrackTo(Struct, frozen=True, kw_only=True):
    """Remove what follows a position of the completion, then force tokens.

    The token that contains the position is removed whole, and its text before it forced again.

    Attributes:
        num_tokens: The tokens to keep; `None` to give characters.
        num_chars: The characters of the text to keep.
        tokens: To force there.
    """

    num_tokens: int | None = None
    num_chars: int | None = None
    tokens: tuple[int, ...] = ()


class End(Struct, frozen=True):
    """End the completion where it is."""


class Pause(Struct, frozen=True):
    """Decide no position until the request is resumed."""


class Resume(Struct, frozen=True):
    """Continue a paused request."""


class Step(Struct, frozen=True):
    """Continue a paused request for a number of tokens."""

    num_tokens: int = 1


class Adjust(Struct, frozen=True, kw_only=True):
    """Change the distributions of the next positions."""

    action: AdjustedLogits
    num_steps: int = 1


class AttachMod(Struct, frozen=True, kw_only=True, eq=False):
    """Add an instance of a mod, after the others or in place of one of them.

    Attributes:
        instance: The instance.
        replaces: The mod that it replaces.
        call: What the instance was made from, for traces.
    """

    instance: RequestMod
    replaces: str | None = None
    call: ModCall | None = None


class DetachMod(Struct, frozen=True):
    """Remove a mod, by its name."""

    name: str


Command = Act | BacktrackTo | End | Pause | Resume | Step | Adjust | AttachMod | DetachMod


class AttachCall(Struct, frozen=True, kw_only=True, eq=False):
    """An `AttachMod` whose instance is made when it is applied."""

    call: ModCall
    replaces: str | None = None


class Moment(NamedTuple):
    """A point between two decisions of a request, which occurs once.

    Attributes:
        num_sampled: Draws of the sampler that a mod or the completion saw.
        num_completion: Length of the completion.
        num_backtracked: Tokens that were removed from it.
    """

    num_sampled: int
    num_completion: int
    num_backtracked: int


class Scheduled(Struct, frozen=True, kw_only=True, eq=False):
    """A command that is applied at a moment of its request, as in the replay of a trace."""

    at: Moment
    command: Act | End | Adjust | DetachMod | AttachCall


class Outcome(Struct, frozen=True, kw_only=True):
    """What a command did.

    Attributes:
        step: The length of the completion when it was applied.
        forced_tokens: Tokens that it appended.
        backtracked_tokens: Tokens that it removed.
        completion_tokens: The length of the completion after it.
        token_ids: Of a `Step`: the tokens that followed.
        state: The request's after it.
        finish_reason: Why the request ended, if it did.
    """

    step: int
    forced_tokens: int = 0
    backtracked_tokens: int = 0
    completion_tokens: int = 0
    token_ids: tuple[int, ...] = ()
    state: State = "running"
    finish_reason: str | None = None


class RequestView(Struct, frozen=True, kw_only=True, eq=False):
    """A copy of what a request has so far."""

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    num_edits: int
    context: RequestContext
    mods: tuple[str, ...]


class RequestStatus(Struct, frozen=True, kw_only=True):
    """How far a request is."""

    request_id: str
    state: State
    prompt_tokens: int
    completion_tokens: int = 0
    mods: tuple[str, ...] = ()


class ControlClient(Protocol):
    """The running requests of an engine, as the server uses them from its event loop."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Encode a text as mods do. May be called on any thread."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Decode tokens, special ones by name. May be called on any thread."""
        ...

    def instance(self, call: ModCall, context: RequestContext) -> RequestMod:
        """Make an instance of a mod for a running request, on the calling thread.

        Raises:
            ModError: The mod raised, or was not ready in time.
            RequestError: The mod rejects the request.
        """
        ...

    async def send(self, request_id: str, command: Command) -> Outcome:
        """Wait until a command is applied.

        Raises:
            ConcordanceError: It was not applied, and will not be; the error says why.
        """
        ...

    async def view(self, request_id: str) -> RequestView:
        """Read a request.

        Raises:
            ConcordanceError: It has ended, or the engine does not respond.
        """
        ...

    async def statuses(self) -> Mapping[str, RequestStatus]:
        """Return how far each request is, by id; nothing if the engine does not respond."""
        ...

    def cancel(self, request_id: str) -> None:
        """End a request, which then sends its last update."""
        ...


def event_of_outcome(kind: str, outcome: Outcome, **details: str | None) -> dict[str, Any]:
    """Describe an applied command for the stream of its request."""
    fields: dict[str, Any] = {
        "type": kind,
        "step": outcome.step,
        "forced_tokens": outcome.forced_tokens,
        "backtracked_tokens": outcome.backtracked_tokens,
        "completion_tokens": outcome.completion_tokens,
        "state": outcome.state,
    }
    return fields | {name: value for name, value in details.items() if value is not None}


_KINDS: Mapping[type, str] = {
    ForceTokens: "force",
    Backtrack: "backtrack",
    ForceOutput: "output",
    EmitError: "error",
    BacktrackTo: "backtrack",
    End: "end",
    Pause: "pause",
    Resume: "resume",
    Step: "step",
    Adjust: "adjust",
    DetachMod: "remove_mod",
}


def kind_of(command: Command) -> str:
    """Return the name of a command in a stream."""
    if isinstance(command, AttachMod):
        return "replace_mod" if command.replaces else "add_mod"
    return _KINDS[type(command.action if isinstance(command, Act) else command)]


def mod_of(command: Command) -> str | None:
    """Return the mod that a command adds or removes."""
    match command:
        case AttachMod(instance=instance):
            return instance.name
        case DetachMod(name=name):
            return name
        case _:
            return None
