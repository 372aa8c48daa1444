"""From logits to tokens: pure functions of logits, parameters and random numbers."""
