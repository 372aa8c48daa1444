"""The table of actions allowed at each event, and the validation of every action a mod returns.

`LEGAL_ACTIONS` is the only definition of what is allowed where; the engine, the test harness, the
table in the documentation and the tests all use it.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard, cast

from concordance_shared.actions import (
    Action,
    AdjustedLogits,
    AdjustedPrefill,
    AnyAction,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    Noop,
    Report,
    ToolCalls,
)
from concordance_shared.errors import InvalidActionError, message_of
from concordance_shared.events import Added, Event, Finished, ForwardPass, Prefilled, Sampled
from concordance_shared.masks import packed_mask
from concordance_shared.reports import report_data_from
from concordance_shared.tool_calls import tool_calls_from

_ENDINGS: frozenset[type[Action]] = frozenset({ForceOutput, ToolCalls, EmitError})
_ALWAYS: frozenset[type[Action]] = frozenset({Noop, Report})

LEGAL_ACTIONS: dict[type[Event], frozenset[type[Action]]] = {
    Prefilled: _ALWAYS | _ENDINGS | {AdjustedPrefill},
    ForwardPass: _ALWAYS | _ENDINGS | {AdjustedLogits, ForceTokens, Backtrack},
    Sampled: _ALWAYS | _ENDINGS | {ForceTokens, Backtrack},
    Added: _ALWAYS | _ENDINGS | {ForceTokens, Backtrack},
    Finished: _ALWAYS,
}
"""Event class -> the action classes allowed at that event."""

#: Types of which a list may have any number.
_UNCOUNTED = frozenset({Report, Noop, type(None)})

MAX_TEMPERATURE = 100.0

#: Fields of an `AdjustedLogits`.
_ADJUSTMENTS = AdjustedLogits.__struct_fields__


def legal_names(event_type: type[Event]) -> str:
    """Return the names of the actions allowed at an event, for messages and tables.

    Args:
        event_type: The class of the event.

    Examples:
        >>> legal_names(Sampled)
        'Backtrack, EmitError, ForceOutput, ForceTokens, Noop, Report, ToolCalls'
    """
    return ", ".join(sorted(action.__name__ for action in LEGAL_ACTIONS[event_type]))


def check_action(event: Event, answer: object, *, mod: str, vocab_size: int) -> AnyAction:
    """Validate an action that a mod returned, and normalize it to tuples of plain integers.

    Args:
        event: The event that the mod handled.
        answer: The value that its handler returned; `None` is a `Noop`.
        mod: The name of the mod, for the message.
        vocab_size: The number of valid token ids.

    Raises:
        InvalidActionError: The value is not an action, is not allowed at this event, or holds an
            invalid value or one that raises on access.

    Examples:
        >>> event = Sampled(request_id="r1", step=3, sampled_token=42)
        >>> check_action(event, ForceTokens([7, 8]), mod="m", vocab_size=100)
        ForceTokens(tokens=(7, 8))
        >>> try:
        ...     check_action(event, ForceTokens([700]), mod="m", vocab_size=100)
        ... except InvalidActionError as error:
        ...     print(error.message.partition(",")[0])
        mod 'm' gave token id 700 in ForceTokens.tokens
    """
    if answer is None:
        return _NOOP
    try:
        _check_allowed(event, answer, mod)
        check = _VALUE_CHECKS.get(type(answer))
        return check(answer, event, vocab_size) if check else _NOOP
    except InvalidActionError:
        raise
    except BaseException as exc:  # e.g. a generator of the mod's, evaluated here, may raise
        raise _refusal_for(exc, event, mod) from exc


def split_reports(
    event: Event, returned: object, *, mod: str
) -> tuple[Sequence[Report], Action | None]:
    """Split the return value of a handler into its reports and its other action, if any.

    Args:
        event: The event that the mod handled.
        returned: A report, or a list or tuple.
        mod: The name of the mod, for the message.

    Raises:
        InvalidActionError: The list has something that is not an action, or more than one action
            beside the reports.

    Examples:
        >>> event = Sampled(request_id="r1", step=3, sampled_token=42)
        >>> split_reports(event, [Report({"p": 0.5}), ForceTokens([7])], mod="m")
        ([Report(data={'p': 0.5})], ForceTokens(tokens=[7]))
    """
    values = [returned] if isinstance(returned, Report) else cast(Sequence[object], returned)
    reports = [value for value in values if type(value) is Report]
    others = [value for value in values if type(value) not in _UNCOUNTED]
    try:
        actions = [_action_of(value, event, mod) for value in others]
    except InvalidActionError:
        raise
    except BaseException as exc:
        raise _refusal_for(exc, event, mod) from exc
    if len(actions) > 1:
        names = " and ".join(type(action).__name__ for action in actions[:2])
        what = f"returned a list with {names}; beside reports, it can have one action,"
        raise refusal(event, what, mod=mod)
    return reports, actions[0] if actions else None


def _refusal_for(exc: BaseException, event: Event, mod: str) -> InvalidActionError:
    """Convert an exception raised by the validation of an action, or by its values."""
    if isinstance(exc, KeyboardInterrupt):
        raise exc
    if isinstance(exc, _RefusedError):
        return refusal(event, f"{exc}", mod=mod)
    what = f"{type(exc).__name__}: {message_of(exc)}"
    return refusal(event, f"returned an action that cannot be read ({what})", mod=mod)


def refusal(event: Event, what: str, *, mod: str, hint: str = "") -> InvalidActionError:
    """Build the error for a rejected action: who, what, where, and what would be right."""
    name = type(event).__name__
    return InvalidActionError(
        f"mod {mod!r} {what} at {name} (step {event.step}){hint}",
        mod=mod,
        event=name,
        step=event.step,
    )


class _RefusedError(Exception):
    """An action is invalid; the message omits the mod and the event."""


_NOOP = Noop()


def _check_allowed(event: Event, answer: object, mod: str) -> None:
    if type(answer) not in LEGAL_ACTIONS[type(event)]:
        kind = type(_action_of(answer, event, mod))
        what = f"returned {kind.__name__}, which is not allowed"
        raise refusal(event, what, mod=mod, hint=_where_allowed(type(event), kind))


def _action_of(answer: object, event: Event, mod: str) -> Action:
    """Return a value if it is an action.

    Raises:
        InvalidActionError: It is not.
    """
    if isinstance(answer, Action):
        return answer
    name = getattr(answer, "__name__", None)
    if name and callable(answer):  # e.g. `return actions.noop`
        raise _RefusedError(f"returned `{name}`, which is not an action until it is called,")
    hint = (
        f"; a handler returns an action, made by a method of `actions`, or None{_instead(answer)}"
    )
    shown = f"{answer!r:.80}" if not _is_row(answer) else f"a row ({type(answer).__name__})"
    raise refusal(event, f"returned {shown}, which is not an action,", mod=mod, hint=hint)


def _is_row(answer: object) -> bool:
    """True for logits and arrays, whose `repr` says little."""
    return hasattr(answer, "top_k") or hasattr(answer, "shape")


def _instead(answer: object) -> str:
    """What a handler that returned another value probably means, for the end of a message."""
    if isinstance(answer, str):
        return ": to write a text, `return actions.force_tokens(tokenizer.encode(text))`"
    if isinstance(answer, int) and not isinstance(answer, bool):
        return ": to write tokens, `return actions.force_tokens(token_ids)`"
    if _is_row(answer):
        return ": for a row of logits, `return actions.adjust_logits(row)`"
    return ""


def _where_allowed(event_type: type[Event], action: type[Action]) -> str:
    """What is allowed at an event, and at which events an action is."""
    name = event_type.__name__
    others = [each.__name__ for each, actions in LEGAL_ACTIONS.items() if action in actions]
    listed = f"; allowed at {name}: {legal_names(event_type)}"
    if not others:
        return listed
    return (
        f"{listed}. {action.__name__} is allowed at {', '.join(others)}: return it there only "
        "(`isinstance(event, ...)`; or, for a function, list its events: "
        f"@mod(on=[{others[0]}]))"
    )


def _check_prefill(action: AdjustedPrefill, _event: Event, vocab_size: int) -> AnyAction:
    tokens = token_ids_from(action.tokens, "AdjustedPrefill.tokens", vocab_size)
    if not tokens:
        raise _RefusedError("returned AdjustedPrefill with an empty prompt")
    if not isinstance(cast(object, action.logprobs), bool):
        raise _RefusedError(
            f"gave {action.logprobs!r:.80} as AdjustedPrefill.logprobs instead of True or False"
        )
    max_steps = _count(action.max_steps, "AdjustedPrefill.max_steps")
    return AdjustedPrefill(tokens, max_steps, action.logprobs)


def _check_force(action: ForceTokens, _event: Event, vocab_size: int) -> AnyAction:
    tokens = token_ids_from(action.tokens, "ForceTokens.tokens", vocab_size)
    return ForceTokens(tokens) if tokens else _NOOP


def _check_backtrack(action: Backtrack, _event: Event, vocab_size: int) -> AnyAction:
    n = _count(action.n, "Backtrack.n")
    if action.tokens is None:
        return Backtrack(n)
    return Backtrack(n, token_ids_from(action.tokens, "Backtrack.tokens", vocab_size) or None)


def _check_output(action: ForceOutput, _event: Event, vocab_size: int) -> AnyAction:
    return ForceOutput(token_ids_from(action.tokens, "ForceOutput.tokens", vocab_size))


def _check_report(action: Report, _event: Event, _vocab_size: int) -> AnyAction:
    try:
        data = report_data_from(action.data)
    except ValueError as exc:
        raise _RefusedError(f"returned a Report that cannot be sent ({exc})") from exc
    return Report(data) if data else _NOOP


def _check_tool_calls(action: ToolCalls, _event: Event, _vocab_size: int) -> AnyAction:
    try:
        return ToolCalls(tool_calls_from(action.tool_calls))
    except ValueError as exc:
        raise _RefusedError(f"returned ToolCalls that cannot be sent ({exc})") from exc


def _check_error(action: EmitError, _event: Event, _vocab_size: int) -> AnyAction:
    if not isinstance(cast(object, action.err_str), str):
        raise _RefusedError(f"returned EmitError with {action.err_str!r:.80} instead of a string")
    return EmitError(str(action.err_str))


def _check_logits(action: AdjustedLogits, event: Event, vocab_size: int) -> AnyAction:
    assert isinstance(event, ForwardPass)
    if all(getattr(action, name) is None for name in _ADJUSTMENTS):
        raise _RefusedError(
            f"returned AdjustedLogits without any of {', '.join(_ADJUSTMENTS)} (to change nothing, "
            "return None)"
        )
    if isinstance(action.logits, int | float):
        raise _RefusedError(
            f"gave {action.logits!r} as AdjustedLogits.logits instead of a row of logits (for a "
            "temperature: token_temp=)"
        )
    num_logits = len(event.logits)  # more than `vocab_size` if the LM head is padded
    if isinstance(action.logits, Mapping):
        raise _RefusedError(
            "gave a mapping as AdjustedLogits.logits instead of a whole row (for a mapping: bias=)"
        )
    if action.logits is not None:
        _check_row(action.logits, [num_logits], "AdjustedLogits.logits", "a row of logits")
    return AdjustedLogits(
        logits=action.logits,
        bias=_bias(action.bias, vocab_size, num_logits),
        allow=_some_token_ids(action.allow, "AdjustedLogits.allow", vocab_size),
        ban=_optional_token_ids(action.ban, "AdjustedLogits.ban", vocab_size),
        mask=_mask(action.mask, vocab_size, num_logits),
        token_temp=_temperature(action.token_temp),
    )


_VALUE_CHECKS: dict[type[object], Callable[[Any, Event, int], AnyAction]] = {
    Report: _check_report,
    AdjustedPrefill: _check_prefill,
    AdjustedLogits: _check_logits,
    ForceTokens: _check_force,
    Backtrack: _check_backtrack,
    ForceOutput: _check_output,
    ToolCalls: _check_tool_calls,
    EmitError: _check_error,
}


def token_ids_from(values: object, where: str, vocab_size: int) -> tuple[int, ...]:
    """Convert any iterable of integers, also numpy or mlx arrays, to plain token ids.

    Raises:
        _RefusedError: A value is not an integer, or is outside the vocabulary.
    """
    if isinstance(values, str):
        raise _RefusedError(
            f"gave text as {where} (encode it first: tokenizer.encode({values!r:.40}))"
        )
    if hasattr(values, "tolist"):  # numpy and mlx arrays
        values = cast(Any, values).tolist()
    if not isinstance(values, Iterable):
        raise _RefusedError(f"gave {values!r:.80} as {where} instead of a list of token ids")
    token_ids = tuple(cast(Iterable[object], values))
    if _are_plain(token_ids, vocab_size):
        return token_ids
    return tuple(_token_id(value, where, vocab_size) for value in token_ids)


def _are_plain(values: tuple[object, ...], vocab_size: int) -> TypeGuard[tuple[int, ...]]:
    """True if all are plain ints in the vocabulary: a fast path that nearly all mods take."""
    if not values or set(map(type, values)) != {int}:
        return False
    ids = cast(tuple[int, ...], values)
    return min(ids) >= 0 and max(ids) < vocab_size


def _token_id(value: object, where: str, vocab_size: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        hint = f" (encode it: tokenizer.encode({value!r:.40}))" if isinstance(value, str) else ""
        raise _RefusedError(f"gave {value!r:.80} in {where}, which is not a token id{hint}")
    token_id = operator.index(cast(int, value))
    if not 0 <= token_id < vocab_size:
        raise _RefusedError(
            f"gave token id {token_id} in {where}, which is outside the vocabulary "
            f"of {vocab_size} tokens,"
        )
    return token_id


def _optional_token_ids(
    values: Sequence[int] | None, where: str, vocab_size: int
) -> tuple[int, ...] | None:
    return None if values is None else token_ids_from(values, where, vocab_size)


def _some_token_ids(
    values: Sequence[int] | None, where: str, vocab_size: int
) -> tuple[int, ...] | None:
    token_ids = _optional_token_ids(values, where, vocab_size)
    if token_ids is not None and not token_ids:
        raise _RefusedError(f"gave an empty {where}, which leaves no token to sample,")
    return token_ids


def _count(value: object, where: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise _RefusedError(f"gave {value!r:.80} as {where} instead of a count")
    count = operator.index(cast(int, value))
    if count < 0:
        raise _RefusedError(f"gave {count} as {where}, which cannot be negative,")
    return count


def _bias(bias: object, vocab_size: int, num_logits: int) -> Any:
    """Return a mapping as a dict, and an array, whose values stay on the device, as it is."""
    where = "AdjustedLogits.bias"
    if bias is None:
        return None
    if not isinstance(bias, Mapping):
        _check_row(bias, [num_logits, vocab_size], where, "a mapping or an array")
        return bias
    bias = cast(Mapping[int, float], bias)
    if _are_plain(tuple(bias), vocab_size) and all(map(_is_plain_bias, bias.values())):
        return dict(bias)
    return {_token_id(key, where, vocab_size): _bias_value(value) for key, value in bias.items()}


def _is_plain_bias(value: object) -> bool:
    return type(value) is float and value < math.inf  # False for NaN, too


def _bias_value(value: object) -> float:
    try:
        bias = float(cast(float, value))
    except (TypeError, ValueError):
        raise _RefusedError(f"gave {value!r:.80} as a value of AdjustedLogits.bias") from None
    if math.isnan(bias) or bias == math.inf:
        raise _RefusedError(f"gave {bias} as a value of AdjustedLogits.bias")
    return bias


def _temperature(value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(cast(object, value), int | float):
        raise _RefusedError(f"gave {value!r:.80} as AdjustedLogits.token_temp instead of a number")
    if not 0 <= value <= MAX_TEMPERATURE:
        raise _RefusedError(
            f"gave {value} as AdjustedLogits.token_temp, which is not in 0..{MAX_TEMPERATURE:g},"
        )
    return float(value)


def _mask(mask: object, vocab_size: int, num_logits: int) -> bytes | None:
    if mask is None:
        return None
    try:
        return packed_mask(mask, vocab_size, num_logits)
    except ValueError as exc:
        raise _RefusedError(f"gave an AdjustedLogits.mask of {exc},") from exc


def _check_row(row: object, lengths: Sequence[int], where: str, what: str) -> None:
    """Check the length of an array with one number for each token, without reading it."""
    shape = _shape_of(row)
    if shape is None:
        raise _RefusedError(f"gave {row!r:.80} as {where} instead of {what}")
    if not shape or shape[-1] not in lengths or math.prod(shape) != shape[-1]:
        raise _RefusedError(f"gave {where} of shape {shape} instead of ({lengths[-1]},)")


def _shape_of(row: object) -> tuple[int, ...] | None:
    """Return the shape of numbers; `None` if the value is neither an array nor a sequence."""
    if hasattr(row, "shape"):
        return tuple(cast(Any, row).shape)
    if isinstance(row, bytes | bytearray):
        return (len(row) // 4,)  # float32
    if isinstance(row, str) or not hasattr(row, "__len__"):
        return None
    return (len(cast(Sequence[float], row)),)
