"""The `concordance` command: the only place that wires the other parts together."""
