"""The hardest judge of a constraint: a writer that takes any allowed token, with equal chances."""

import numpy as np


def allowed(mask, vocab_size):
    """The token ids of a packed bitmask."""
    bits = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")[:vocab_size]
    return bits.nonzero()[0]


def wander(matcher, tokenizer, dice, max_tokens=200):
    """Let an answer go on by forced tokens and random allowed ones; return it."""
    while matcher.num_tokens < max_tokens and not matcher.is_complete:
        forced = matcher.forced()
        if forced:
            matcher.extend(forced)
        else:
            ids = allowed(matcher.mask(), tokenizer.vocab_size)
            matcher.extend([int(ids[dice.randrange(len(ids))])])
    return matcher
