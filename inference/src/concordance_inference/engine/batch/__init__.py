"""The rows of a batch, and the logits and tokens of one step for all of them."""
