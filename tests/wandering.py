"""The hardest test of a constraint: a writer that draws uniformly among allowed tokens."""

import numpy as np


def allowed(mask, vocab_size):
    """Return the token ids of a packed mask."""
    bits = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")[:vocab_size]
    return bits.nonzero()[0]


def wander(matcher, tokenizer, dice, max_tokens=200):
    """Extend a matcher by its forced tokens and by random allowed ones; return it."""
    while matcher.num_tokens < max_tokens and not matcher.is_complete:
        forced = matcher.forced()
        if forced:
            matcher.extend(forced)
        else:
            ids = allowed(matcher.mask(), tokenizer.vocab_size)
            matcher.extend([int(ids[dice.randrange(len(ids))])])
    return matcher
