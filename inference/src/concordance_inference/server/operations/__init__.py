"""Health, metrics, logs and tracing."""
