"""All errors that Concordance raises deliberately, grouped by who has to act.

    ConcordanceError
    ├── ModError                  422  the author of the mod must fix something
    │   ├── ModDefinitionError         at import: this function or class cannot be a mod
    │   ├── ModLoadError               a file, folder or package of mods cannot be loaded
    │   ├── ModRaisedError             the mod's own code raised; the cause is chained
    │   ├── ModTimeoutError            the mod exceeded its time limit
    │   ├── ModDiedError               the worker of an uploaded mod ended: it exited or crashed
    │   ├── ModMemoryError             an uploaded mod ran out of memory
    │   ├── ModProtocolError           the worker of an uploaded mod broke the protocol
    │   ├── InvalidActionError         the action is not allowed there, or its values are invalid
    │   ├── UndeclaredLogitsError      the mod accessed more logits than it declared
    │   ├── ModBudgetError             mods prevent the completion from making progress
    │   ├── ConstraintError            a constraint cannot be enforced, or was violated
    │   │   └── SchemaError     400    a JSON Schema of the request cannot be enforced
    │   ├── FlowError                  a flow of questions cannot continue
    │   └── EmittedError               a mod ended the request with `EmitError`
    ├── RequestError              400  the caller must fix something
    │   ├── InvalidRequestError   400
    │   ├── ContextLengthError    400
    │   ├── ForbiddenError        403
    │   ├── UnknownModelError     404
    │   ├── UnknownModError       404
    │   ├── ConflictError         409
    │   ├── TooLargeError         413
    │   └── MediaTypeError        415
    └── EngineError               500  Concordance, or the server's operator, must fix something
        ├── ModelLoadError        500
        ├── NumericalError        500
        ├── EngineOverloadedError 429
        ├── EngineStoppedError    503
        └── SandboxUnavailableError 503    uploaded mods cannot run

Each class carries its HTTP status and `code`, so that one exception handler serves the whole
tree. Errors of mods are 422, since clients of the OpenAI API retry 408, 409, 429 and 5xx, and a
mod that fails once will fail again.
"""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from concordance_shared.reports import ModReport


class ConcordanceError(Exception):
    """The base class of all errors.

    Attributes:
        status_code: The HTTP status of the response.
        type: The category of the error, as OpenAI names it.
        code: A stable identifier of the kind of error.
        message: Who, where, what happened, and what would be right.
        param: The request field that caused the error, if any.
        reports: The reports that mods made before the request failed.

    Examples:
        >>> try:
        ...     raise InvalidRequestError("max_tokens is at least 1", param="max_tokens")
        ... except ConcordanceError as error:
        ...     error.status_code, error.code, error.param
        (400, 'invalid_value', 'max_tokens')
    """

    status_code: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        """Create an error.

        Args:
            message: Who, where, what happened, and what would be right.
            param: The request field that caused it, as a path: `messages[2].content`.
        """
        super().__init__(message)
        self.message = message
        self.param = param
        self.reports: tuple[ModReport, ...] = ()


class ModError(ConcordanceError):
    """A mod failed; its author must fix something.

    Attributes:
        mod: The name of the mod, if known.
        event: The name of the event that the mod was handling.
        step: The completion position of that event.

    Examples:
        >>> from concordance_sdk import Added, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Added])
        ... def faulty(event, actions):
        ...     return actions.backtrack(3)
        >>> try:
        ...     play(faulty, says="a")
        ... except ModError as error:
        ...     error.mod, error.event, error.step, type(error).__name__
        ('faulty', 'Added', 0, 'InvalidActionError')
    """

    status_code = 422
    type = "mod_error"
    code = "mod_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        mod: str | None = None,
        event: str | None = None,
        step: int | None = None,
    ) -> None:
        """Create an error.

        Args:
            message: Who, where, what happened, and what would be right.
            param: The request field that caused it.
            mod: The name of the mod.
            event: The name of the event that the mod was handling.
            step: The completion position of that event.
        """
        super().__init__(message, param=param)
        self.mod = mod
        self.event = event
        self.step = step


class ModDefinitionError(ModError):
    """A function or class cannot be a mod. Raised where it is defined.

    Examples:
        >>> from concordance_sdk import mod
        >>> try:
        ...     mod(lambda: None, name="nothing")
        ... except ModDefinitionError as error:
        ...     error.code
        'mod_definition_invalid'
    """

    code = "mod_definition_invalid"


class ModLoadError(ModError):
    """A file, folder, package or upload of mods cannot be loaded.

    Examples:
        >>> ModLoadError.status_code, ModLoadError.code
        (422, 'mod_load_failed')
    """

    code = "mod_load_failed"


class ModRaisedError(ModError):
    """A mod's own code raised; `__cause__` is the original exception.

    Examples:
        >>> from concordance_sdk import Added, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Added])
        ... def faulty(event, actions):
        ...     return 1 / 0
        >>> try:
        ...     play(faulty, says="a")
        ... except ModRaisedError as error:
        ...     repr(error.__cause__)
        "ZeroDivisionError('division by zero')"
    """

    code = "mod_raised"


class ModTimeoutError(ModError):
    """A mod's own code exceeded its time limit and was interrupted.

    Examples:
        >>> ModTimeoutError.status_code, ModTimeoutError.code
        (422, 'mod_timeout')
    """

    code = "mod_timeout"


class ModDiedError(ModError):
    """The worker process of an uploaded mod ended: it exited, crashed or used up its CPU time.

    Examples:
        >>> ModDiedError.status_code, ModDiedError.code
        (422, 'mod_died')
    """

    code = "mod_died"


class ModMemoryError(ModError):
    """An uploaded mod ran out of memory.

    Examples:
        >>> ModMemoryError.status_code, ModMemoryError.code
        (422, 'mod_memory')
    """

    code = "mod_memory"


class ModProtocolError(ModError):
    """The worker process of an uploaded mod sent something that no worker sends, and was killed.

    Examples:
        >>> ModProtocolError.status_code, ModProtocolError.code
        (422, 'mod_protocol')
    """

    code = "mod_protocol"


class InvalidActionError(ModError):
    """A mod returned a value that is not allowed at this event; nothing was changed.

    Examples:
        >>> from concordance_sdk import Added, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Added])
        ... def faulty(event, actions):
        ...     return "no action"
        >>> try:
        ...     play(faulty, says="a")
        ... except InvalidActionError as error:
        ...     error.mod, error.event
        ('faulty', 'Added')
    """

    code = "mod_invalid_action"


class UndeclaredLogitsError(ModError):
    """A mod accessed more logits of an event than `@mod(logits=...)` declares.

    Examples:
        >>> UndeclaredLogitsError.status_code, UndeclaredLogitsError.code
        (422, 'mod_logits_undeclared')
    """

    code = "mod_logits_undeclared"


class ModBudgetError(ModError):
    """Mods backtracked or edited so often that the completion would never end.

    Examples:
        >>> ModBudgetError.status_code, ModBudgetError.code
        (422, 'mod_budget')
    """

    code = "mod_budget"


class ConstraintError(ModError):
    """A constraint cannot be enforced, or was violated by tokens that it does not allow.

    Examples:
        >>> from concordance_sdk.constraints import Regex
        >>> try:
        ...     Regex("(")
        ... except ConstraintError as error:
        ...     error.code
        'constraint_error'
    """

    code = "constraint_error"


class SchemaError(ConstraintError):
    """A JSON Schema of a request cannot be enforced; the caller must change it.

    The message contains the keyword and its location in the schema, as a JSON pointer.

    Examples:
        >>> from concordance_sdk.constraints import JsonSchema
        >>> try:
        ...     JsonSchema({"properties": {"a": {"type": "int"}}})
        ... except SchemaError as error:
        ...     error.status_code, error.message.partition("(at ")[2]
        (400, '#/properties/a/type)')
    """

    status_code = 400
    type = "invalid_request_error"
    code = "invalid_schema"


class FlowError(ModError):
    """The definition of a flow does not allow it to continue.

    Examples:
        >>> FlowError.status_code, FlowError.code
        (422, 'flow_error')
    """

    code = "flow_error"


class EmittedError(ModError):
    """A mod ended its request with this error deliberately.

    Examples:
        >>> from concordance_sdk import Prefilled, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Prefilled])
        ... def closed(event, actions):
        ...     return actions.emit_error("closed today")
        >>> try:
        ...     play(closed, says="a")
        ... except EmittedError as error:
        ...     error.message
        'closed today'
    """

    code = "mod_emitted_error"


class RequestError(ConcordanceError):
    """The request is invalid; the caller must fix something.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.builtin import StopAt
        >>> try:
        ...     use(StopAt, phrase="###")
        ... except RequestError as error:
        ...     print(error.message.partition(";")[0])
        mod 'stop_at': object contains unknown field `phrase`
    """

    status_code = 400
    type = "invalid_request_error"
    code = "invalid_request"


class InvalidRequestError(RequestError):
    """A field of the request is missing, malformed, out of range or unsupported.

    Examples:
        >>> from concordance_sdk.testing import play
        >>> try:
        ...     play(says="a", max_tokens=0)
        ... except InvalidRequestError as error:
        ...     error.param
        'max_tokens'
    """

    code = "invalid_value"


class ContextLengthError(RequestError):
    """The prompt leaves no room in the model's context.

    Examples:
        >>> ContextLengthError.status_code, ContextLengthError.code
        (400, 'context_length_exceeded')
    """

    code = "context_length_exceeded"


class ForbiddenError(RequestError):
    """The request is well-formed but not permitted.

    Examples:
        >>> ForbiddenError.status_code, ForbiddenError.code
        (403, 'forbidden')
    """

    status_code = 403
    type = "permission_error"
    code = "forbidden"


class UnknownModelError(RequestError):
    """The server has no model of this name.

    Examples:
        >>> UnknownModelError.status_code, UnknownModelError.code
        (404, 'model_not_found')
    """

    status_code = 404
    type = "not_found_error"
    code = "model_not_found"


class UnknownModError(RequestError):
    """The server has no mod of this name.

    Examples:
        >>> UnknownModError.status_code, UnknownModError.code
        (404, 'mod_not_found')
    """

    status_code = 404
    type = "not_found_error"
    code = "mod_not_found"


class ConflictError(RequestError):
    """The request conflicts with existing state.

    Examples:
        >>> ConflictError.status_code, ConflictError.code
        (409, 'conflict')
    """

    status_code = 409
    type = "conflict_error"
    code = "conflict"


class TooLargeError(RequestError):
    """The body of the request is too large.

    Examples:
        >>> TooLargeError.status_code, TooLargeError.code
        (413, 'request_too_large')
    """

    status_code = 413
    code = "request_too_large"


class MediaTypeError(RequestError):
    """The content type of the request is not JSON.

    Examples:
        >>> MediaTypeError.status_code, MediaTypeError.code
        (415, 'unsupported_media_type')
    """

    status_code = 415
    code = "unsupported_media_type"


class EngineError(ConcordanceError):
    """Concordance, or the operator of the server, must fix something.

    Examples:
        >>> issubclass(EngineOverloadedError, EngineError), EngineOverloadedError.status_code
        (True, 429)
    """

    code = "engine_error"


class ModelLoadError(EngineError):
    """The model cannot be found, loaded or run.

    Examples:
        >>> ModelLoadError.status_code, ModelLoadError.code
        (500, 'model_load_failed')
    """

    code = "model_load_failed"


class NumericalError(EngineError):
    """The model produced logits that are not finite.

    Examples:
        >>> NumericalError.status_code, NumericalError.code
        (500, 'logits_not_finite')
    """

    code = "logits_not_finite"


class EngineOverloadedError(EngineError):
    """The queue is full; the client can retry later.

    Examples:
        >>> EngineOverloadedError.status_code, EngineOverloadedError.code
        (429, 'rate_limit_exceeded')
    """

    status_code = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry_after_s: float = 1.0  # from now


class EngineStoppedError(EngineError):
    """The engine is stopping, or has stopped.

    Examples:
        >>> EngineStoppedError.status_code, EngineStoppedError.code
        (503, 'engine_stopped')
    """

    status_code = 503
    type = "overloaded"
    code = "engine_stopped"


class SandboxUnavailableError(EngineError):
    """Uploaded mods cannot run: this system does not confine their workers.

    Examples:
        >>> SandboxUnavailableError.status_code, SandboxUnavailableError.code
        (503, 'sandbox_unavailable')
    """

    status_code = 503
    code = "sandbox_unavailable"


def message_of(error: BaseException) -> str:
    """Return the message of any exception, to quote it in another message.

    Safe for exceptions of mods, whose `__str__` may itself raise.

    Examples:
        >>> message_of(ValueError("no number"))
        'no number'
    """
    try:
        return str(error)
    except Exception:
        return "its message cannot be read"
