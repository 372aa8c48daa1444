"""Finds loops in a completion, and ends the request there or rewinds it. No arrays."""
