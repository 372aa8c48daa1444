"""What leaves the engine for one request: tokens, text, log-probabilities."""
