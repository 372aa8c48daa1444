"""Mark a text so that a detector recognizes it, after Kirchenbauer et al. (2023)."""

import math
from itertools import pairwise

import mlx.core as mx
from concordance_sdk import mod


def green(token_id, vocab_size, gamma):
    """A pseudo-random part of the vocabulary, which the token before selects.  (vocab,) bool"""
    return mx.random.bernoulli(gamma, shape=(vocab_size,), key=mx.random.key(token_id))


@mod(max_backtrack=0)
class Watermark:
    """Makes green tokens more probable; the bias is computed and added on the device."""

    delta: float = 2.0  # nats
    gamma: float = 0.5  # the green part

    def __init__(self):
        """Start before the first token."""
        self.token_ids = []

    def added(self, event, actions):
        """Follow the completion, also where another mod has removed a part of it."""
        self.token_ids[event.step :] = event.added_tokens

    def forward_pass(self, event, actions):
        """Add `delta` to the logits of the tokens that are green after the one before."""
        if event.step > 0:
            before = self.token_ids[event.step - 1]
            is_green = green(before, len(event.logits), self.gamma)
            return actions.adjust_logits(bias=self.delta * is_green)


def z_score(token_ids, vocab_size, gamma=0.5):
    """Detect the watermark: above 4 in a marked text, around 0 in any other.

    Standard deviations by which the green tokens exceed their expected number.
    """
    found = [green(a, vocab_size, gamma)[b].item() for a, b in pairwise(token_ids)]
    return (sum(found) - gamma * len(found)) / math.sqrt(gamma * (1 - gamma) * max(1, len(found)))
