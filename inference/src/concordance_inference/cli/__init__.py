"""The `concordance` command: the only place that wires the other parts together."""

from concordance_inference.cli.entry import main

__all__ = ["main"]
