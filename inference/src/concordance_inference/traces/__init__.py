"""Traces: what happened to each token of a request, and why. No arrays."""
