"""Actions of mods as bounded structs, and back.

The worker validates what a handler returned, so that its author reads the same errors as in
process; the engine validates what arrives again, since a worker may send anything.
"""

import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any, assert_never, cast

from concordance_shared import (
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

from concordance_inference.sandbox.protocol.replies import (
    MAX_BIASES,
    SentAction,
    SentBacktrack,
    SentError,
    SentForce,
    SentLogits,
    SentOutput,
    SentPrefill,
    SentToolCalls,
)

#: Writes a row into the shared memory: 0 for logits, 1 for biases.
WriteRow = Callable[[int, bytes], None]

#: Copies a row out of the shared memory.
ReadRow = Callable[[int], bytes]

_INT32 = "i"


def packed(token_ids: Sequence[int]) -> bytes:
    """Pack token ids as integers of 32 bits."""
    values = array(_INT32, token_ids)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def unpacked(data: bytes) -> tuple[int, ...]:
    """Unpack token ids.

    Raises:
        ValueError: The length is not a whole number of ids.
    """
    values = array(_INT32)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return tuple(values)


def sent(  # noqa: PLR0911  # one for each action
    action: AnyAction, width: int, write_row: WriteRow
) -> SentAction | None:
    """Return a validated action as it is sent; `None` for a `Noop`.

    Args:
        action: The action, as `check_action` returns it.
        width: Length of a row of logits.
        write_row: Writes a row.
    """
    match action:
        case Noop() | Report():
            return None
        case AdjustedPrefill(tokens, max_steps, logprobs):
            return SentPrefill(packed(tokens), max_steps, logprobs)
        case AdjustedLogits():
            return _sent_logits(action, width, write_row)
        case ForceTokens(tokens):
            return SentForce(packed(tokens))
        case Backtrack(n, tokens):
            return SentBacktrack(n, None if tokens is None else packed(tokens))
        case ForceOutput(tokens):
            return SentOutput(packed(tokens))
        case ToolCalls(tool_calls):
            return SentToolCalls(tuple(tool_calls))
        case EmitError(text):
            return SentError(text)
        case _:
            assert_never(action)


def _sent_logits(action: AdjustedLogits, width: int, write_row: WriteRow) -> SentLogits:
    bias: Any = action.bias
    if action.logits is not None:
        write_row(0, row_bytes(action.logits))
    if isinstance(bias, dict) and len(cast(dict[int, float], bias)) > MAX_BIASES:
        bias = _as_row(cast(dict[int, float], bias), width)
    is_row = bias is not None and not isinstance(bias, dict)
    if is_row:
        write_row(1, row_bytes(bias))
    return SentLogits(
        action.logits is not None,
        is_row,
        None if is_row else bias,
        None if action.allow is None else packed(action.allow),
        None if action.ban is None else packed(action.ban),
        action.mask,
        action.token_temp,
    )


def _as_row(biases: dict[int, float], width: int) -> bytes:
    row = array("f", bytes(4 * width))
    for token_id, bias in biases.items():
        row[token_id] = bias
    return row.tobytes()


def row_bytes(row: Any) -> bytes:
    """Return a row of numbers as float32 bytes: of an array, a sequence or bytes."""
    if isinstance(row, bytes | bytearray):
        return bytes(row)
    if hasattr(row, "astype"):
        return row.astype("float32").tobytes()
    return array("f", row.tolist() if hasattr(row, "tolist") else row).tobytes()


def received(  # noqa: PLR0911  # one for each action
    action: SentAction | None, read_row: ReadRow
) -> Action | None:
    """Return an action that a worker has sent; its values are not validated.

    Args:
        action: As it was sent.
        read_row: Copies a row.

    Raises:
        ValueError: Token ids or a row have a wrong length.
    """
    match action:
        case None:
            return None
        case SentPrefill(tokens, max_steps, logprobs):
            return AdjustedPrefill(unpacked(tokens), max_steps, logprobs)
        case SentLogits():
            return _received_logits(action, read_row)
        case SentForce(tokens):
            return ForceTokens(unpacked(tokens))
        case SentBacktrack(n, tokens):
            return Backtrack(n, None if tokens is None else unpacked(tokens))
        case SentOutput(tokens):
            return ForceOutput(unpacked(tokens))
        case SentToolCalls(tool_calls):
            return ToolCalls(tool_calls)
        case SentError(text):
            return EmitError(text)
        case _:
            assert_never(action)


def _received_logits(action: SentLogits, read_row: ReadRow) -> AdjustedLogits:
    return AdjustedLogits(
        logits=read_row(0) if action.has_row else None,
        bias=read_row(1) if action.has_biases else action.bias,
        allow=None if action.allow is None else unpacked(action.allow),
        ban=None if action.ban is None else unpacked(action.ban),
        mask=action.mask,
        token_temp=action.token_temp,
    )
