"""What a row gives to its recorder. No arrays."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from concordance_inference.traces.recorder import TraceRecorder

if TYPE_CHECKING:
    from concordance_inference.engine.plan import RowRead
    from concordance_inference.engine.request.row import Row
    from concordance_inference.generation import ModUsage


def begin_trace(row: "Row", context_length: int) -> TraceRecorder | None:
    """Begin the trace of a request; return its recorder if every token is recorded."""
    recorder = row.request.recorder
    beginning = row.request.beginning or row.request.branch
    if recorder is None:
        return None
    given = (beginning.token_ids, beginning.forced_by) if beginning else ((), ())
    limits = {
        "max_tokens": row.state.max_tokens,
        "vocab_size": row.dispatch.vocab_size,
        "context_length": context_length,
        "end_ids": sorted(row.state.eos_ids),
        "forced_end_ids": sorted(row.state.forced_eos_ids),
    }
    recorder.begin(*given, row.seed, row.request.prompt_ids, limits)
    return recorder if recorder.traces_tokens else None


def record_pass(row: "Row", read: "RowRead", *, step: int, rows: int) -> None:
    """Record that a pass processes tokens of a row.

    Args:
        row: The row.
        read: The tokens.
        step: The number of the engine's step.
        rows: Rows in the batch.
    """
    if row.tracer is not None:
        is_prefill = read.start < row.state.prompt_len + row.state.num_begun
        row.tracer.passed(
            step=step, rows=rows, row=read.row, tokens=read.num_tokens, prefill=is_prefill
        )


def end_trace(row: "Row", mods: "tuple[ModUsage, ...]") -> None:
    """Record the end of a row. Lists of the row are not copied; they do not change any more."""
    if row.request.recorder is not None:
        row.request.recorder.end(_facts(row, mods))


def adjusts_logits(row: "Row") -> bool:
    """True if anything of the row may change its logits before temperature and filters."""
    request, sampling = row.request, row.request.sampling
    is_penalized = (
        sampling.repetition_penalty != 1
        or sampling.presence_penalty
        or sampling.frequency_penalty
        or sampling.logit_bias
    )
    return bool(
        row.dispatch.listens_to_logits
        or row.rules
        or request.min_tokens
        or is_penalized
        or (row.loops and row.loops.rewinds)
    )


def _facts(row: "Row", mods: "tuple[ModUsage, ...]") -> Mapping[str, Any]:
    state = row.state
    return {
        "token_ids": state.token_ids,
        "prompt_tokens": state.prompt_len,
        "cached_tokens": row.output.cached_tokens,
        "completion_tokens": state.num_completion,
        "forced_tokens": state.num_forced,
        "backtracked_tokens": state.num_backtracked,
        "finish_reason": state.finish_reason and state.finish_reason.value,
        "error": None if state.error is None else state.error.message,
        "seed": row.seed,
        "usage": mods,
        "actions": state.actions.entries,
    }
