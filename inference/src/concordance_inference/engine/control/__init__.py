"""Commands to running requests, on the engine's thread."""
