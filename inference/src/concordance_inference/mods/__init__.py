"""Loads, registers and resolves mods."""
