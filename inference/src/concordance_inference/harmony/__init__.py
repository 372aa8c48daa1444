"""Harmony, the format of messages of gpt-oss: channels, recipients, and calls of tools."""
