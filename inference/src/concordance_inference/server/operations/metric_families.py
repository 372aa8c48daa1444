"""The metrics of `GET /metrics`: declared once, for the exporter and the documentation.

Where the meaning is that of a metric of vLLM, so is the name, and dashboards made for vLLM work.
"""

from collections.abc import Callable, Iterator, Mapping

from concordance_shared import FinishReason
from msgspec import Struct

from concordance_inference.metrics_snapshot import HistogramSnapshot, MetricsSnapshot

Labels = tuple[str, ...]  # values, in the order of the metric's label names
Values = Mapping[Labels, float | HistogramSnapshot]


class EngineMetric(Struct, frozen=True, kw_only=True):
    """A metric of one model's engine; its first label is `model_name`."""

    name: str
    kind: str  # counter, gauge or histogram
    help: str
    labels: Labels = ()
    read: Callable[[MetricsSnapshot], Values]


#: vLLM's words for the ends of requests.
_FINISHED = {FinishReason.CANCELLED: "abort"}


def _one(name: str) -> Callable[[MetricsSnapshot], Values]:
    return lambda snapshot: {(): getattr(snapshot, name)}


def _requests(snapshot: MetricsSnapshot) -> Values:
    counts = dict.fromkeys((("stop",), ("length",), ("abort",), ("error",)), 0)
    return counts | {(_FINISHED.get(end, str(end)),): n for end, n in snapshot.requests.items()}


def _kv_usage(snapshot: MetricsSnapshot) -> Values:
    limit = snapshot.kv_limit_bytes
    return {(): snapshot.kv_bytes / limit} if limit else {}


def _per_mod(name: str) -> Callable[[MetricsSnapshot], Values]:
    return lambda snapshot: {(mod,): getattr(cost, name) for mod, cost in snapshot.mods.items()}


def _declared() -> Iterator[EngineMetric]:
    for name, kind, text, field in (
        ("vllm:num_requests_running", "gauge", "Requests that have a row.", "running"),
        ("vllm:num_requests_waiting", "gauge", "Requests that wait for a row.", "waiting"),
        (
            "concordance:parked_requests",
            "gauge",
            "Requests that wait for the answer of an uploaded mod.",
            "parked",
        ),
        ("vllm:prompt_tokens", "counter", "Prompt tokens of ended requests.", "prompt_tokens"),
        (
            "vllm:generation_tokens",
            "counter",
            "Tokens of the completions of ended requests.",
            "completion_tokens",
        ),
        (
            "vllm:prefix_cache_hits",
            "counter",
            "Prompt tokens found in the prefix cache.",
            "cached_tokens",
        ),
        ("vllm:request_queue_time_seconds", "histogram", "Time before a row is free.", "queue_s"),
        (
            "vllm:time_to_first_token_seconds",
            "histogram",
            "Time from submission to the first token.",
            "time_to_first_token_s",
        ),
        (
            "vllm:inter_token_latency_seconds",
            "histogram",
            "Time between later tokens; those that arrive together are one interval.",
            "inter_token_s",
        ),
        (
            "vllm:e2e_request_latency_seconds",
            "histogram",
            "Time from submission to the end of a request.",
            "latency_s",
        ),
        ("concordance:engine_restarts", "counter", "Restarts of the engine.", "restarts"),
        ("concordance:engine_steps", "counter", "Steps of the engine.", "steps"),
        ("concordance:forward_passes", "counter", "Passes of the model.", "passes"),
        (
            "concordance:prefill_tokens",
            "counter",
            "Prompt tokens that passes processed.",
            "prefill_tokens",
        ),
        (
            "concordance:sampled_tokens",
            "counter",
            "Tokens of ended requests that were sampled.",
            "sampled_tokens",
        ),
        (
            "concordance:forced_tokens",
            "counter",
            "Tokens of ended requests that mods forced.",
            "forced_tokens",
        ),
        (
            "concordance:backtracked_tokens",
            "counter",
            "Tokens of ended requests that mods backtracked.",
            "backtracked_tokens",
        ),
        ("concordance:kv_cache_bytes", "gauge", "Memory of all caches.", "kv_bytes"),
        ("concordance:prefix_cache_bytes", "gauge", "Memory of cached prefixes.", "prefix_bytes"),
        (
            "concordance:mods_seconds",
            "histogram",
            "Time in the mods of a request, for requests with mods.",
            "mod_s",
        ),
    ):
        yield EngineMetric(name=name, kind=kind, help=text, read=_one(field))
    yield EngineMetric(
        name="vllm:prefix_cache_queries",
        kind="counter",
        help="Prompt tokens that were found in the prefix cache or processed.",
        read=lambda snapshot: {(): snapshot.cached_tokens + snapshot.prefill_tokens},
    )
    yield EngineMetric(
        name="vllm:kv_cache_usage_perc",
        kind="gauge",
        help="Memory of all caches, as a fraction of --kv-memory.",
        read=_kv_usage,
    )
    yield EngineMetric(
        name="vllm:request_success",
        kind="counter",
        help="Ended requests: stop, length, tool_calls, content_filter, abort (cancelled), error.",
        labels=("finished_reason",),
        read=_requests,
    )
    for name, text, read in (
        ("calls", "Calls of a mod's handlers.", _per_mod("calls")),
        ("seconds", "Time in a mod's code.", _per_mod("seconds")),
    ):
        yield EngineMetric(
            name=f"concordance:mod_{name}",
            kind="counter",
            help=text + " All uploads have the label `uploaded`.",
            labels=("mod",),
            read=read,
        )


ENGINE_METRICS = tuple(sorted(_declared(), key=lambda metric: metric.name))

#: Metrics of the sandbox: name, kind, help, label names.
SANDBOX_METRICS = (
    ("concordance:sandbox_available", "gauge", "1 if uploaded mods can run.", ()),
    (
        "concordance:sandbox_workers",
        "gauge",
        "Workers: `leased` run a mod, `warm` wait for one.",
        ("state",),
    ),
    (
        "concordance:uploaded_mod_failures",
        "counter",
        "Failures of uploaded mods in requests, also of those that requests do not require.",
        ("code",),
    ),
)

#: Counters of the HTTP layer: name, help, label names.
HTTP_METRICS = (
    (
        "concordance:http_requests",
        "HTTP requests whose response is complete.",
        ("method", "route", "status"),
    ),
    ("concordance:errors", "Errors sent to clients, in responses and streams.", ("type", "code")),
)
