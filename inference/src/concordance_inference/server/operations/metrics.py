"""`GET /metrics`, in Prometheus' text format. Nothing is computed before it is requested."""

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.metrics_snapshot import HistogramSnapshot
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.operations.metric_families import (
    ENGINE_METRICS,
    HTTP_METRICS,
    SANDBOX_METRICS,
    EngineMetric,
    Labels,
    Values,
)
from concordance_inference.server.operations.request_record import RequestRecord

#: The label of mods that clients uploaded.
_UPLOADED = "uploaded"

#: HTTP methods that are counted by name.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpMetrics:
    """Counts HTTP requests and errors, on the event loop."""

    def __init__(self) -> None:
        """Start at zero."""
        self.requests: Counter[Labels] = Counter()
        self.errors: Counter[Labels] = Counter()

    def started(self, record: RequestRecord) -> None:
        """Count nothing yet."""

    def ended(self, record: RequestRecord) -> None:
        """Count a request, and its error."""
        method = record.method if record.method in _METHODS else "other"
        self.requests[method, record.route, str(record.status)] += 1
        if record.error:
            code, type_ = record.error
            self.errors[type_, code] += 1


async def metrics(request: Request) -> Response:
    """Return all metrics in Prometheus' text format."""
    context = context_of(request)
    http: HttpMetrics = request.app.state.http_metrics
    counters = [Counter(http.requests), Counter(http.errors)]  # a copy, for the other thread
    text = await context.workers.look_up(lambda: _exposition(context, counters))
    return Response(text, media_type="text/plain; version=1.0.0; charset=utf-8")


def _exposition(context: ServerContext, counters: list[Counter[Labels]]) -> bytes:
    class Collector:
        def collect(self) -> Iterator[Metric]:
            for (name, text, labels), counts in zip(HTTP_METRICS, counters, strict=True):
                metric = Metric(name, text, "counter")
                _add(metric, "counter", labels, counts)
                yield metric
            yield from _engine_families(context)
            yield from _sandbox_families(context)

    registry = CollectorRegistry()
    registry.register(Collector())  # pyright: ignore[reportArgumentType]
    return generate_latest(registry)


def _engine_families(context: ServerContext) -> Iterator[Metric]:
    snapshots = {served.info.id: served.engine.metrics() for served in context.models.loaded}
    own = {entry.name for entry in context.mods.entries() if entry.source != "uploaded"}
    for declared in ENGINE_METRICS:
        metric = Metric(declared.name, declared.help, declared.kind)
        for model, snapshot in snapshots.items():
            values = _with_uploads_as_one(declared, declared.read(snapshot), own)
            labeled = {(model, *labels): value for labels, value in values.items()}
            _add(metric, declared.kind, ("model_name", *declared.labels), labeled)
        yield metric


def _sandbox_families(context: ServerContext) -> Iterator[Metric]:
    """Yield the metrics of the sandbox; none for a server without one."""
    if (sandbox := context.mods.sandbox) is None:
        return
    status = sandbox.status
    workers = {("leased",): status.num_leased, ("warm",): status.num_warm}
    failures = {(code,): number for code, number in sandbox.failures.counts().items()}
    values: tuple[Mapping[Labels, float], ...] = (
        {(): status.is_available},
        workers,
        failures,
    )
    for (name, kind, text, labels), each in zip(SANDBOX_METRICS, values, strict=True):
        metric = Metric(name, text, kind)
        _add(metric, kind, labels, each)
        yield metric


def _with_uploads_as_one(declared: EngineMetric, values: Values, own: set[str]) -> Values:
    """Add up the values of mods that clients uploaded, whose names they choose."""
    if declared.labels != ("mod",):
        return values
    summed: Counter[Labels] = Counter()
    for (mod,), value in values.items():
        assert not isinstance(value, HistogramSnapshot)
        summed[(mod if mod in own else _UPLOADED,)] += value  # type: ignore[assignment]
    return summed


def _add(
    metric: Metric,
    kind: str,
    names: Labels,
    values: Mapping[Labels, float | HistogramSnapshot],
) -> None:
    for labels, value in values.items():
        named = dict(zip(names, labels, strict=True))
        if isinstance(value, HistogramSnapshot):
            _add_histogram(metric, named, value)
        else:
            name = f"{metric.name}_total" if kind == "counter" else metric.name
            metric.add_sample(name, named, value)


def _add_histogram(metric: Metric, labels: dict[str, str], value: HistogramSnapshot) -> None:
    """Add the cumulative counts of a histogram, and its sum."""
    total = 0
    for bound, count in zip((*value.bounds, float("inf")), value.counts, strict=True):
        total += count
        le = "+Inf" if bound == float("inf") else str(bound)
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": le}, total)
    metric.add_sample(f"{metric.name}_count", labels, total)
    metric.add_sample(f"{metric.name}_sum", labels, value.total)
