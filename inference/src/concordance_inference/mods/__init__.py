"""Loads mods, keeps them in a catalog, and resolves the mods of requests."""
