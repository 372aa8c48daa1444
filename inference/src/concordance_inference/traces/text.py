"""A trace as text for a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from math import exp

from concordance_inference.traces.schema import (
    Alternative,
    Trace,
    TraceEvent,
    TraceSummary,
    TraceToken,
)

#: Characters of a token's text in a line.
_TEXT_WIDTH = 20

#: Alternatives in a token's line.
_NUM_OTHERS = 3


def text_of_trace(trace: Trace) -> str:
    """Return a trace as lines: what was asked, what mods did, and every token with its origin."""
    return "\n".join([*_head(trace), *_mods(trace), *_body(trace), *_tail(trace)]) + "\n"


def lines_of_list(summaries: Iterable[TraceSummary]) -> Iterator[str]:
    """Yield one line for each trace."""
    for each in summaries:
        end = each.finish_reason or each.status
        mods = ",".join(each.mods) or "-"
        yield (
            f"{each.id}  {_time(each.created)}  {each.model}  {each.level}  {end}  "
            f"{each.prompt_tokens}+{each.completion_tokens}  {mods}  "
            f"{_shown(each.text_preview, 60)}"
        )


def _head(trace: Trace) -> Iterator[str]:
    end = trace.finish_reason or trace.status
    yield f"trace {trace.id}  {_time(trace.created)}  {trace.model}  {trace.path}"
    yield (
        f"{end}: {trace.prompt_tokens} prompt tokens ({trace.cached_tokens} cached), "
        f"{trace.completion_tokens} completion tokens ({trace.forced_tokens} forced), "
        f"{trace.backtracked_tokens} backtracked, {trace.seconds:.2f} s"
    )
    if trace.error:
        yield f"error: {_plain(trace.error)}"
    given = {name: value for name, value in trace.parameters.items() if value not in (None, [], {})}
    yield "parameters: " + ", ".join(f"{name}={value!r}" for name, value in given.items())
    yield f"seed: {trace.seed}"
    if trace.prompt is not None:
        yield f"prompt: {_shown(trace.prompt, 2000)}"


def _mods(trace: Trace) -> Iterator[str]:
    for mod in trace.mods:
        params = ", ".join(f"{name}={value!r}" for name, value in mod.parameters.items())
        yield (
            f"mod {mod.name}({params}) {mod.hash or ''}: {mod.calls} calls, "
            f"{mod.microseconds / 1e3:.1f} ms, {mod.forced_tokens} forced, "
            f"{mod.backtracked_tokens} backtracked, {mod.adjusted_steps} adjusted"
        )


def _body(trace: Trace) -> Iterator[str]:
    """Yield tokens and events, in order of time."""
    lines: list[tuple[float, int, str]] = []
    lines += [(token.at_ms, 1, _token(token, trace.events)) for token in trace.tokens]
    for event in trace.events:
        lines.append((event.at_ms, 0, _event(event)))
        lines += [(event.at_ms, 0, f"         | {_plain(log.text)}") for log in event.logs]
    lines.sort(key=lambda line: line[:2])
    yield from (line for _, _, line in lines)


def _tail(trace: Trace) -> Iterator[str]:
    for log in trace.logs:
        yield f"log {log.mod}: {_plain(log.text)}"
    if trace.level == "tokens":
        yield (
            f"passes: {trace.passes}, saved by forced spans: {trace.passes_saved}, "
            f"discarded: {trace.passes_wasted}"
        )
    if trace.is_truncated:
        yield "truncated: there was more to record than a trace may hold"
    yield f"completion: {_shown(trace.text, 4000)}"


def _token(token: TraceToken, events: Sequence[TraceEvent]) -> str:
    mark = {"kept": " ", "backtracked": "-", "replaced": "x"}[token.status]
    text = _shown(token.text, _TEXT_WIDTH)
    shown = f"{mark}{token.position:6}  {token.token_id:7}  {text:{_TEXT_WIDTH}}"
    return f"{shown}  {_why(token, events)}{_numbers(token)}{_others(token)}"


def _why(token: TraceToken, events: Sequence[TraceEvent]) -> str:
    """Say where a token comes from, and what became of it: by which mod, in which handler."""
    origin: str = token.origin
    if token.mod is not None:
        origin += f" by {token.mod}{_handler(token.event, events)}"
    if token.status == "kept":
        return origin
    by = token.removed_by or "the engine"
    return f"{origin}, {token.status} by {by}{_handler(token.removed_at, events)}"


def _handler(index: int | None, events: Sequence[TraceEvent]) -> str:
    return f" at {events[index].event}" if index is not None and index < len(events) else ""


def _numbers(token: TraceToken) -> str:
    values = {
        "logprob": token.logprob,
        "adjusted": token.adjusted_logprob,
        "entropy": token.entropy,
    }
    known = [f"  {name}={value:.3f}" for name, value in values.items() if value is not None]
    return "".join(known) + ("" if token.allowed is None else f"  allowed={token.allowed}")


def _others(token: TraceToken) -> str:
    """Name the most probable tokens that could have been in its place."""
    others = [each for each in token.alternatives if each.token_id != token.token_id]
    if not others:
        return ""
    return "  others: " + ", ".join(map(_alternative, others[:_NUM_OTHERS]))


def _alternative(other: Alternative) -> str:
    before = _probability(other.logprob)
    shown = f"{_shown(other.text, _TEXT_WIDTH)} {before:.1%}"
    if other.adjusted_logprob is None:
        return f"{shown} not allowed"
    after = _probability(other.adjusted_logprob)
    return shown if abs(after - before) < 0.0005 else f"{shown} -> {after:.1%}"


def _probability(logprob: float | None) -> float:
    return 0.0 if logprob is None else exp(min(logprob, 0.0))


def _event(event: TraceEvent) -> str:
    by = f"{event.mod} by hand" if event.by_hand else event.mod
    details = f" {event.details}" if event.details else ""
    error = f" raised {_plain(event.error)}" if event.error else ""
    return (
        f"@{event.position:6}  {by}: {event.event} -> {event.action or 'no action'}"
        f"{_shown(details, 200)[1:-1]}{error}  {event.microseconds / 1e3:.2f} ms"
    )


def _plain(text: str) -> str:
    """Return a text without characters that change a terminal."""
    return repr(text)[1:-1]


def _shown(text: str, width: int) -> str:
    """Quote a text, without characters that change a terminal."""
    shown = repr(text)
    return shown if len(shown) <= width else f"{shown[: width - 2]}…{shown[0]}"


def _time(created: float) -> str:
    try:
        return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # of a file
        return f"{created:g} s"
