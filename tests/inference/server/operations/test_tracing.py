"""Spans of requests, with the GenAI semantic conventions."""

import pytest
from concordance_inference.generation import Failed, ModUsage
from concordance_inference.server.app import create_app
from concordance_inference.server.operations import tracing
from concordance_sdk.host.action_log import ModAction
from concordance_shared import EngineError
from fake_engine import FakeEngine, says
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

ASK = {"model": "fake/greeting", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(name="spans")
def _spans(monkeypatch):
    """The spans that have ended."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter.get_finished_spans


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_is_one_span_with_the_attributes_of_the_conventions(serve, spans, stream):
    usage = ModUsage(mod="greeting", calls=2, forced_tokens=1)
    engine = FakeEngine(says("Hel", "lo", cached_tokens=2, forced_tokens=1, mods=(usage,)))
    response = serve(engine).post(CHAT, json={**ASK, "stream": stream})
    (span,) = spans()
    found = dict(span.attributes)

    assert (span.name, span.kind) == ("chat fake", trace.SpanKind.SERVER)
    assert found.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert found == {
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
        "concordance.request.id": response.headers["x-request-id"],
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "concordance",
        "gen_ai.request.model": "fake",
        "gen_ai.response.model": "fake",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "concordance.mods": ("greeting",),
        "concordance.usage.forced_tokens": 1,
        "concordance.usage.backtracked_tokens": 0,
    }


def test_what_each_mod_did_is_an_event(serve, spans):
    usage = ModUsage(mod="greeting", calls=2, forced_tokens=1, microseconds=30)
    serve(FakeEngine(says("a", mods=(usage,)))).post(CHAT, json=ASK)
    (event,) = spans()[0].events

    assert event.name == "concordance.mod"
    assert event.attributes["concordance.mod.name"] == "greeting"
    assert event.attributes["concordance.mod.calls"] == 2
    assert event.attributes["concordance.mod.microseconds"] == 30


def test_each_action_is_an_event_at_its_time(serve, spans):
    action = ModAction(
        mod="greeting",
        action="Backtrack",
        event="Added",
        step=4,
        forced_tokens=1,
        backtracked_tokens=2,
        at_ns=7 * 10**18,
    )
    serve(FakeEngine(says("a", actions=(action,), num_actions=200))).post(CHAT, json=ASK)
    (span,) = spans()
    (event,) = span.events

    assert (event.name, event.timestamp) == ("concordance.action", 7 * 10**18)
    assert dict(event.attributes) == {
        "concordance.mod.name": "greeting",
        "concordance.action.name": "Backtrack",
        "concordance.action.event": "Added",
        "concordance.action.step": 4,
        "concordance.action.forced_tokens": 1,
        "concordance.action.backtracked_tokens": 2,
    }
    assert span.attributes["concordance.actions"] == 200


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("has_begun", [True, False])
def test_the_actions_of_a_request_that_fails_are_events_too(serve, spans, stream, has_begun):
    action = ModAction(mod="greeting", action="EmitError", event="Sampled", step=1, at_ns=1)
    failed = Failed(error=EngineError("kaput"), actions=(action,), num_actions=1)
    engine = FakeEngine([*(says("a")[:2] if has_begun else ()), failed])
    serve(engine).post(CHAT, json={**ASK, "stream": stream})
    (span,) = spans()
    (event,) = [event for event in span.events if event.name == "concordance.action"]

    assert event.attributes["concordance.action.name"] == "EmitError"
    assert span.attributes["concordance.actions"] == 1


def test_a_span_continues_the_trace_of_the_headers(client, spans):
    client.post(CHAT, json=ASK, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    (span,) = spans()

    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT


@pytest.mark.parametrize("header", ["", "nonsense", "00-0-0-0", "\xff"])
def test_a_malformed_trace_context_begins_a_new_trace(client, spans, header):
    response = client.post(CHAT, json=ASK, headers={"traceparent": header.encode("latin-1")})

    assert response.status_code == 200
    assert spans()[0].parent is None


def test_a_stream_that_fails_is_a_span_with_an_error(serve, spans):
    engine = FakeEngine([*says("a")[:2], Failed(error=EngineError("kaput"))])
    serve(engine).post(CHAT, json={**ASK, "stream": True})
    (span,) = spans()

    assert span.status.status_code == trace.StatusCode.ERROR
    assert span.attributes["error.type"] == "engine_error"


def test_other_routes_are_spans_with_their_route_and_probes_are_none(client, spans):
    client.get("/v1/models/nowhere")
    client.get("/healthz")
    (span,) = spans()

    assert span.name == "GET /v1/models/{name:path}"
    assert span.status.status_code == trace.StatusCode.UNSET


def test_without_the_extra_requests_are_not_traced(client, spans, monkeypatch):
    monkeypatch.setattr(tracing, "is_installed", lambda: False)
    context = client.app.state.context

    assert tracing.tracers() == []
    assert create_app(context)


def test_an_endpoint_without_the_extra_is_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(tracing, "is_installed", lambda: False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    tracing.set_up_tracing()

    assert "install concordance-inference[otel]" in caplog.text
