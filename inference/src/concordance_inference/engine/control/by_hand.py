"""Applies one action to a request, as if a mod had returned it."""

from typing import TYPE_CHECKING, cast

from concordance_sdk.host.dispatch import AdjustableLogits
from concordance_sdk.tokenizer import Tokenizer
from concordance_shared import (
    AnyAction,
    Backtrack,
    ForceOutput,
    ForwardPass,
    InvalidActionError,
    InvalidRequestError,
    ModError,
    SandboxUnavailableError,
    check_action,
)
from msgspec import Struct

from concordance_inference.control import (
    CONTROL,
    BacktrackTo,
    Expected,
    RefusedCommandError,
    RequestChangedError,
)

if TYPE_CHECKING:
    from concordance_inference.engine.control.hand import Hand
    from concordance_inference.engine.request.row import Row

#: Tokens before the end of the completion in which a text may have begun earlier.
_OVERLAP = 32


class Edited(Struct, frozen=True):
    """Counts of the tokens that an action added and removed."""

    forced_tokens: int = 0
    backtracked_tokens: int = 0


def act(row: "Row", hand: "Hand", action: AnyAction) -> Edited:
    """Apply an action to a request. An error of one of its mods ends the request.

    Raises:
        InvalidRequestError: The action has wrong values.
        RefusedCommandError: It does not fit the completion, which is unchanged.
    """
    state, event = row.state, event_of(row)
    step = state.num_completion
    checked, forced = check(row, event, action), 0
    try:
        forced = len(row.dispatch.act(hand, event, checked))
    except InvalidActionError as exc:
        if exc.mod == CONTROL:
            raise _refusal(row, exc) from exc
        state.fail(exc)
    except (ModError, SandboxUnavailableError) as exc:
        state.fail(exc)
    if isinstance(checked, ForceOutput):
        return Edited(state.num_completion, step)
    return Edited(forced, checked.n if isinstance(checked, Backtrack) else 0)


def event_of(row: "Row") -> ForwardPass:
    """The event at which a mod would return the action; of its logits only the length is read."""
    return ForwardPass(
        request_id=row.state.request_id,
        step=row.state.num_completion,
        logits=cast(AdjustableLogits, range(row.dispatch.vocab_size)),
    )


def check(row: "Row", event: ForwardPass, action: AnyAction) -> AnyAction:
    """Validate an action.

    Raises:
        InvalidRequestError: It has wrong values.
    """
    try:
        return check_action(event, action, mod=CONTROL, vocab_size=row.dispatch.vocab_size)
    except InvalidActionError as exc:
        raise InvalidRequestError(_by_hand(exc.message)) from exc


def check_expected(row: "Row", expected: Expected | None, tokenizer: Tokenizer) -> None:
    """Refuse a command whose condition does not hold.

    Raises:
        RequestChangedError: The completion changed other than by sampled tokens, or has a text.
    """
    if expected is None:
        return
    state = row.state
    begin = state.prompt_len + max(0, expected.num_tokens - _OVERLAP)
    end = tokenizer.decode(state.token_ids[begin:]) if expected.without else ""
    if state.num_edits != expected.num_edits or any(text in end for text in expected.without):
        raise RequestChangedError("the completion has changed since it was read; try again")


def backtrack_to(row: "Row", command: BacktrackTo, tokenizer: Tokenizer) -> Backtrack:
    """Return the action that backtracks to a position.

    Raises:
        RefusedCommandError: The completion is shorter.
    """
    state, length, rest = row.state, command.num_tokens, ""
    if command.num_chars is not None:
        length, rest = row.output.tokens_before(command.num_chars)
    if length is None or length > state.num_completion:
        kept = f"{command.num_chars} characters" if length is None else f"{length} tokens"
        raise RefusedCommandError(
            f"the action keeps {kept}, but the completion has only {state.num_completion} tokens "
            f"and {row.output.num_chars} characters"
        )
    tokens = (*(tokenizer.encode(rest) if rest else ()), *command.tokens)
    return Backtrack(state.num_completion - length, tokens or None)


def _refusal(row: "Row", exc: InvalidActionError) -> RefusedCommandError:
    message = _by_hand(exc.message)
    if "already streamed" in message:
        message = (
            "the action changes text that was already sent: only the tokens from "
            f"{row.state.num_released} on can change; stream with "
            '"stream_options": {"include_retractions": true}, or do not stream'
        )
    return RefusedCommandError(message)


def _by_hand(message: str) -> str:
    return message.replace(f"mod {CONTROL!r}", "the action")
