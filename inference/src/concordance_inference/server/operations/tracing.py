"""Traces of requests: where they are recorded, and where they are sent."""

import importlib.util
import logging
import os

from concordance_inference.server.operations.request_record import Observer

logger = logging.getLogger(__name__)

#: Variables that say where spans are sent, as OpenTelemetry defines them.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def is_installed() -> bool:
    """Return True if the extra `otel` is installed."""
    return importlib.util.find_spec("opentelemetry") is not None


def tracers() -> list[Observer]:
    """Return the observer that traces requests, if the extra is installed."""
    if not is_installed():
        return []
    from concordance_inference.server.operations.request_spans import RequestSpans  # noqa: PLC0415

    return [RequestSpans()]


def set_up_tracing() -> None:
    """Send spans to the endpoint that the environment names, if any, by OTLP over HTTP."""
    if not any(map(os.environ.get, _ENDPOINTS)):
        return
    if not is_installed():
        logger.warning(
            "%s is set, but OpenTelemetry is not installed; install concordance-inference[otel]",
            _ENDPOINTS[0],
        )
        return
    # The SDK is slow to import, and of no use without an endpoint.
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "concordance")})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
