"""Mods written for other SDKs."""
