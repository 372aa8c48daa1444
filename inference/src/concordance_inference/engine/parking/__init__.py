"""Calls of mods that wait for an answer of another process, while the batch continues."""
