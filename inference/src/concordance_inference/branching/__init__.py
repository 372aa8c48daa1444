"""Starts new completions from a token of another one: the request, and the tree of branches."""
