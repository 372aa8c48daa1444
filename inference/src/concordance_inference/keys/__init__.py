"""Keys of callers: made, stored as digests, found again. Knows nothing of HTTP."""
