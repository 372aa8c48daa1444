"""From scores to tokens: pure functions of logits, parameters and random numbers."""
