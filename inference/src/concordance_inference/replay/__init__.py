"""Runs the request of a trace again, and compares token by token."""

from concordance_inference.replay.difference import Difference
from concordance_inference.replay.recorded import ReplayError
from concordance_inference.replay.run import Replayed, replay

__all__ = ["Difference", "ReplayError", "Replayed", "replay"]
