"""One OpenTelemetry span for each request, with the GenAI semantic conventions.

Only `tracing` imports this module, where OpenTelemetry is installed. Without a configured SDK the
spans record nothing.
"""

from typing import Any, cast

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from concordance_inference.generation import Completed, Failed
from concordance_inference.server.operations.request_record import PROBES, RequestRecord

_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/responses": "chat",
    "/v1/messages": "chat",
    "/v1/embeddings": "embeddings",
}


class RequestSpans:
    """Makes a span of each request, within the trace that its headers name."""

    def started(self, record: RequestRecord) -> None:
        """Start a span."""
        carrier = {
            name.decode(): value.decode("latin-1")
            for name, value in record.headers.items()
            if name in (b"traceparent", b"tracestate")
        }
        parent = TraceContextTextMapPropagator().extract(carrier)
        tracer = trace.get_tracer("concordance")
        record.span = tracer.start_span(record.method, context=parent, kind=SpanKind.SERVER)

    def ended(self, record: RequestRecord) -> None:
        """End the span, with what is known about the request; probes have none."""
        span = cast(Span, record.span)
        if record.route in PROBES or not span.is_recording():
            return
        operation = _OPERATIONS.get(record.route, "")
        span.update_name(
            f"{operation} {record.model}" if record.model else f"{record.method} {record.route}"
        )
        span.set_attributes(_attributes(record, operation))
        for end in record.ends:
            _add_mods(span, end)
        for end in (*record.ends, *record.failures):
            _add_actions(span, end)
        if record.error and (record.status >= 500 or record.status == 200):
            span.set_status(StatusCode.ERROR, record.error[0])
        span.end()


def _attributes(record: RequestRecord, operation: str) -> dict[str, Any]:
    """The attributes of a span, without those that are not known."""
    ends = record.ends
    given: dict[str, Any] = {
        "http.request.method": record.method,
        "http.route": record.route,
        "http.response.status_code": record.status,
        "error.type": record.error and record.error[0],
        "concordance.request.id": record.request_id,
    }
    if record.model:
        given |= {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "concordance",
            "gen_ai.request.model": record.model,
            "gen_ai.response.model": record.model,
            "gen_ai.response.time_to_first_chunk": record.first_token_s,
            "concordance.mods": record.mods or None,
        }
    given["concordance.actions"] = sum(end.num_actions for end in (*ends, *record.failures)) or None
    if ends:
        given |= {
            "gen_ai.response.finish_reasons": [str(end.finish_reason) for end in ends],
            "gen_ai.usage.input_tokens": sum(end.prompt_tokens for end in ends),
            "gen_ai.usage.output_tokens": sum(end.completion_tokens for end in ends),
            "gen_ai.usage.cache_read.input_tokens": sum(end.cached_tokens for end in ends),
            "concordance.usage.forced_tokens": sum(end.forced_tokens for end in ends),
            "concordance.usage.backtracked_tokens": sum(end.backtracked_tokens for end in ends),
        }
    return {name: value for name, value in given.items() if value is not None}


def _add_mods(span: Span, end: Completed) -> None:
    """Add an event for each mod, with the counts of what it did."""
    for used in end.mods:
        span.add_event(
            "concordance.mod",
            {
                "concordance.mod.name": used.mod,
                "concordance.mod.calls": used.calls,
                "concordance.mod.forced_tokens": used.forced_tokens,
                "concordance.mod.backtracked_tokens": used.backtracked_tokens,
                "concordance.mod.adjusted_steps": used.adjusted_steps,
                "concordance.mod.microseconds": used.microseconds,
            },
        )


def _add_actions(span: Span, end: Completed | Failed) -> None:
    """Add an event for each action of a mod, at its time."""
    for action in end.actions:
        span.add_event(
            "concordance.action",
            {
                "concordance.mod.name": action.mod,
                "concordance.action.name": action.action,
                "concordance.action.event": action.event,
                "concordance.action.step": action.step,
                "concordance.action.forced_tokens": action.forced_tokens,
                "concordance.action.backtracked_tokens": action.backtracked_tokens,
            },
            timestamp=action.at_ns,
        )
