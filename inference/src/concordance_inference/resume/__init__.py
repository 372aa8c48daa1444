"""Continues completions that ended before the model was done: what is kept, and the request."""
