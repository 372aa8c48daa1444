"""One running request: its row in the batch, its mods, and its speculation."""
