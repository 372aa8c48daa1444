"""One request while it runs: its row, its remembered logits, its speculation."""
