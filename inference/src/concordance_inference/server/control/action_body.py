"""The body of an action on a running request."""

from collections.abc import Sequence
from typing import Annotated, Any, cast, get_args

from concordance_shared import (
    AdjustedLogits,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    InvalidRequestError,
)
from msgspec import Meta, Struct

from concordance_inference.control import (
    Act,
    Adjust,
    BacktrackTo,
    Command,
    ControlClient,
    DetachMod,
    End,
    Pause,
    Resume,
    Step,
)
from concordance_inference.server.openai.generation_fields import Bias, ModChoice, ModName
from concordance_inference.server.transport.body import decode_body

#: The most characters of a text to force, and tokens.
_MAX_TEXT, _MAX_TOKENS = 65536, 16384

Text = Annotated[str, Meta(min_length=1, max_length=_MAX_TEXT)]
TokenIds = Annotated[list[Annotated[int, Meta(ge=0, le=2**31)]], Meta(max_length=_MAX_TOKENS)]
SomeTokenIds = Annotated[TokenIds, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0, le=2**31)]
Index = Annotated[int, Meta(ge=0, le=1024)]


class ActionBody(
    Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", omit_defaults=True
):
    """An action. `index` selects the choice of a request that has several."""

    index: Index | None = None


class ForceBody(ActionBody, tag="force"):
    """Force tokens at the next position: a text, or token ids."""

    text: Text | None = None
    token_ids: SomeTokenIds | None = None

    def command(self, control: ControlClient) -> Command:
        """The command; tokenizes, so it runs on a background thread."""
        return Act(action=ForceTokens(_tokens(self, control)))


class BacktrackBody(ActionBody, tag="backtrack"):
    """Remove the last tokens, or all after a position, then force tokens there, if any."""

    num_tokens: Count | None = None  # to remove
    to_token: Count | None = None  # tokens to keep
    to_char: Count | None = None  # characters of the text to keep
    text: Text | None = None  # to force there
    token_ids: SomeTokenIds | None = None  # to force there

    def command(self, control: ControlClient) -> Command:
        """The command; tokenizes, so it runs on a background thread."""
        tokens = _tokens(self, control)
        if self.num_tokens is not None:
            return Act(action=Backtrack(self.num_tokens, tokens or None))
        return BacktrackTo(num_tokens=self.to_token, num_chars=self.to_char, tokens=tokens)


class OutputBody(ActionBody, tag="output"):
    """Replace the completion and end it: a text, or token ids."""

    text: Annotated[str, Meta(max_length=_MAX_TEXT)] | None = None
    token_ids: TokenIds | None = None

    def command(self, control: ControlClient) -> Command:
        """The command; tokenizes, so it runs on a background thread."""
        return Act(action=ForceOutput(_tokens(self, control)))


class EndBody(ActionBody, tag="end"):
    """End the completion where it is."""

    def command(self, control: ControlClient) -> Command:
        """The command."""
        del control
        return End()


class ErrorBody(ActionBody, tag="error"):
    """End the request with an error."""

    message: Annotated[str, Meta(min_length=1, max_length=2000)]

    def command(self, control: ControlClient) -> Command:
        """The command."""
        del control
        return Act(action=EmitError(self.message))


class PauseBody(ActionBody, tag="pause"):
    """Generate no more until the request is resumed."""

    def command(self, control: ControlClient) -> Command:
        """The command."""
        del control
        return Pause()


class ResumeBody(ActionBody, tag="resume"):
    """Continue a paused request."""

    def command(self, control: ControlClient) -> Command:
        """The command."""
        del control
        return Resume()


class StepBody(ActionBody, tag="step"):
    """Pause the request, if it is not, after more tokens."""

    num_tokens: Annotated[int, Meta(ge=1, le=4096)] = 1

    def command(self, control: ControlClient) -> Command:
        """The command."""
        del control
        return Step(self.num_tokens)


class AdjustBody(ActionBody, tag="adjust"):
    """Change the distributions of the next positions."""

    allow: SomeTokenIds | None = None  # only these can be sampled
    ban: SomeTokenIds | None = None  # these cannot
    bias: Annotated[dict[str, Bias], Meta(max_length=1024)] | None = None  # by token id
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    num_steps: Annotated[int, Meta(ge=1, le=4096)] = 1

    def command(self, control: ControlClient) -> Command:
        """The command."""
        del control
        return Adjust(action=_adjustment(self), num_steps=self.num_steps)


class ReasonBody(ActionBody, tag="reason"):
    """Add a text to the reasoning, while the model reasons."""

    text: Text


class EndReasoningBody(ActionBody, tag="end_reasoning"):
    """End the reasoning, after a text if one is given."""

    text: Text | None = None


class AddModBody(ActionBody, tag="add_mod"):
    """Add a mod after the others."""

    mod: ModChoice | ModName


class ReplaceModBody(ActionBody, tag="replace_mod"):
    """Put a mod in the place of another."""

    name: ModName  # of the mod that it replaces
    mod: ModChoice | ModName


class RemoveModBody(ActionBody, tag="remove_mod"):
    """Remove a mod."""

    name: ModName

    def command(self, control: ControlClient) -> Command:
        """The command."""
        del control
        return DetachMod(self.name)


PlainBody = (
    ForceBody
    | BacktrackBody
    | OutputBody
    | EndBody
    | ErrorBody
    | PauseBody
    | ResumeBody
    | StepBody
    | AdjustBody
    | RemoveModBody
)
"""An action that needs nothing but its body."""

ReasoningBody = ReasonBody | EndReasoningBody
ModBody = AddModBody | ReplaceModBody
AnyActionBody = PlainBody | ReasoningBody | ModBody


_TYPES = ", ".join(body.__struct_config__.tag for body in get_args(AnyActionBody))  # pyright: ignore


def decode_action(raw: bytes) -> AnyActionBody:
    """Decode and check an action.

    Raises:
        InvalidRequestError: It is wrong; `param` is the field.
    """
    try:
        body = cast(AnyActionBody, decode_body(raw, AnyActionBody))
    except InvalidRequestError as exc:
        if exc.param != "type":
            raise
        raise InvalidRequestError(f"{exc.message}; the types are: {_TYPES}", param="type") from exc
    match body:
        case ForceBody() | OutputBody():
            _exactly_one(body, ("text", "token_ids"))
        case BacktrackBody():
            _exactly_one(body, ("num_tokens", "to_token", "to_char"))
            if body.text is not None and body.token_ids is not None:
                raise _either(("text", "token_ids"))
        case AdjustBody():
            names = ("allow", "ban", "bias", "temperature")
            if all(getattr(body, name) is None for name in names):
                raise InvalidRequestError(
                    f"an adjust action has at least one of: {', '.join(names)}", param="type"
                )
        case _:
            pass
    return body


def _tokens(
    body: ForceBody | BacktrackBody | OutputBody, control: ControlClient
) -> tuple[int, ...]:
    if body.text is not None:
        return control.encode(body.text)
    return tuple(body.token_ids or ())


def _adjustment(body: AdjustBody) -> AdjustedLogits:
    try:
        bias = {int(key): value for key, value in (body.bias or {}).items()}
    except ValueError as exc:
        raise InvalidRequestError("bias: its keys are token ids", param="bias") from exc
    return AdjustedLogits(
        allow=body.allow, ban=body.ban, bias=bias or None, token_temp=body.temperature
    )


def _exactly_one(body: Any, names: Sequence[str]) -> None:
    if sum(getattr(body, name) is not None for name in names) != 1:
        raise _either(names)


def _either(names: Sequence[str]) -> InvalidRequestError:
    return InvalidRequestError(f"give one of: {', '.join(names)}", param=names[0])
