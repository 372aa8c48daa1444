"""The table of metrics, in Markdown."""

from concordance_inference.server.operations.metric_families import (
    ENGINE_METRICS,
    HTTP_METRICS,
    SANDBOX_METRICS,
)


def metrics_table() -> str:
    """A row for each metric, with the name that Prometheus has."""
    rows = [
        (metric.name, metric.kind, ("model_name", *metric.labels), metric.help)
        for metric in ENGINE_METRICS
    ]
    rows += [(name, kind, labels, text) for name, kind, text, labels in SANDBOX_METRICS]
    rows += [(name, "counter", labels, text) for name, text, labels in HTTP_METRICS]
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for name, kind, labels, text in sorted(rows):
        suffix = "_total" if kind == "counter" else ""
        listed = ", ".join(f"`{label}`" for label in labels)
        lines.append(f"| `{name}{suffix}` | {kind} | {listed} | {text} |")
    return "\n".join(lines) + "\n"
