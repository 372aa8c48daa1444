"""The engine's thread: its messages, its failures and restarts, and its updates for others."""
