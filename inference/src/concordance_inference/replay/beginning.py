"""Begins a replay in the middle of a completion."""

from concordance_shared import FinishReason
from msgspec import Struct
from msgspec.structs import replace

from concordance_inference.control import Moment, Scheduled
from concordance_inference.engine.config import ModelTraits
from concordance_inference.generation import GenerationRequest
from concordance_inference.replay.recorded import ReplayError, recorded
from concordance_inference.resume.ended import EndedCompletion
from concordance_inference.resume.request import beginning_of
from concordance_inference.traces.schema import Trace, TraceToken


class Cut(Struct, frozen=True, kw_only=True):
    """The last time that a completion got its first tokens.

    Attributes:
        length: The number of these tokens.
        num_entries: Entries of the trace's tokens up to there.
        num_draws: Of them, those that the sampler drew.
        num_removed: Of them, those that were removed again.
        tokens: The tokens.
    """

    length: int
    num_entries: int = 0
    num_draws: int = 0
    num_removed: int = 0
    tokens: tuple[TraceToken, ...] = ()


def cut_at(trace: Trace, length: int) -> Cut:
    """Find where the completion of a trace had its first `length` tokens, and kept them.

    Raises:
        ReplayError: The trace has no tokens, or fewer.
    """
    if not length:
        return Cut(length=0)
    if trace.level != "tokens" or trace.is_truncated:
        raise ReplayError(
            f"trace {trace.id} lacks the tokens to begin in the middle: its level is "
            f"{trace.level!r}{', and it is truncated' * trace.is_truncated}; replay it from 0"
        )
    if not 0 < length < len(trace.completion_ids):
        raise ReplayError(
            f"trace {trace.id}: from is {length}, but its completion has "
            f"{len(trace.completion_ids)} tokens; give less"
        )
    found = _last_cut(trace, length)
    assert found is not None, "the completion is longer"
    return found


def _last_cut(trace: Trace, length: int) -> Cut | None:
    found: Cut | None = None
    current: list[TraceToken] = []
    num_draws = num_added = 0
    for i, token in enumerate(trace.tokens, start=1):
        num_draws += token.origin == "sampled"
        if token.status == "replaced":
            continue
        num_added += 1
        del current[token.position :]
        current.append(token)
        if len(current) == length:
            found = Cut(
                length=length,
                num_entries=i,
                num_draws=num_draws,
                num_removed=num_added - length,
                tokens=tuple(current),
            )
    return found


def begun_at(
    cut: Cut, trace: Trace, request: GenerationRequest, traits: ModelTraits
) -> GenerationRequest:
    """Return the request of a trace that continues after its first tokens."""
    if not cut.length:
        return request
    prompt_ids = tuple(trace.prompt_ids or ())
    max_tokens = request.max_tokens or cut.length
    for event in trace.events:
        if event.event == "Prefilled":
            limit = recorded(trace, "events", event.details.get("max_steps"), int | None)
            max_tokens = min(max_tokens, limit or max_tokens)
    rest = _rest_of_span(cut, trace)
    ended = EndedCompletion(
        request=request,
        token_ids=(*prompt_ids, *(token.token_id for token in cut.tokens)),
        prompt_len=len(prompt_ids),
        forced_by=tuple(token.mod if token.origin == "forced" else None for token in cut.tokens),
        num_sampled=cut.num_draws,
        seed=request.sampling.seed or 0,
        finish_reason=FinishReason.LENGTH,
        dropped=tuple(token.token_id for token in rest),
        dropped_by=rest[0].mod if rest else None,
    )
    return replace(
        request,
        prompt_ids=prompt_ids,
        max_tokens=max_tokens - cut.length,
        beginning=beginning_of(ended, request, traits.new_decoder),
        scheduled=tuple(_shifted(each, cut) for each in request.scheduled if _is_after(each, cut)),
    )


def _rest_of_span(cut: Cut, trace: Trace) -> list[TraceToken]:
    """Return the tokens that were forced together with the last one, after it."""
    last, rest = cut.tokens[-1], list[TraceToken]()
    for token in trace.tokens[cut.num_entries :]:
        is_next = token.position == last.position + 1 + len(rest)
        if last.origin != "forced" or not is_next or token.at_ms != last.at_ms:
            break
        if (token.origin, token.mod, token.event) != (last.origin, last.mod, last.event):
            break
        rest.append(token)
    return rest


def _is_after(scheduled: Scheduled, cut: Cut) -> bool:
    at = scheduled.at
    is_later = (at.num_sampled, at.num_backtracked) >= (cut.num_draws, cut.num_removed)
    return is_later and at.num_completion >= cut.length


def _shifted(scheduled: Scheduled, cut: Cut) -> Scheduled:
    """Return a command at the same moment of a request that has removed fewer tokens."""
    at = scheduled.at
    moment = Moment(at.num_sampled, at.num_completion, at.num_backtracked - cut.num_removed)
    return replace(scheduled, at=moment)
