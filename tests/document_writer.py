"""Generates random documents under a constraint, with a preference for edge cases."""

import numpy as np
from wandering import allowed

#: Bytes with a special role: in strings, escapes, numbers, and in JSON itself.
_BORDERS = b'"\\/bfnrtu0123456789.eE+-,:[]{} \x7f\xc3\xe2\xf0'

#: Bytes that close a string, array or object, in order of preference.
_ENDS = b'}]"'


def write(matcher, tokenizer, dice, *, free=40, most=2000):
    """Extend a matcher by random tokens, then end the text as soon as possible.

    Args:
        matcher: A fresh matcher.
        tokenizer: Its tokenizer.
        dice: A `random.Random`.
        free: The maximum number of tokens to choose freely.
        most: The maximum number of tokens.
    """
    eos = min(tokenizer.eos_token_ids)
    free = dice.randrange(free + 1)
    while not matcher.is_complete and matcher.num_tokens < most:
        forced = matcher.forced()
        if forced:
            matcher.extend(forced)
            continue
        ids = allowed(matcher.mask(), tokenizer.vocab_size)
        pick = _freely if matcher.num_tokens < free else _towards_the_end
        matcher.extend([int(pick(ids, tokenizer, dice, eos))])
    return matcher


def _freely(ids, tokenizer, dice, eos):
    if dice.random() < 0.5:
        borders = _starting_with(ids, tokenizer, _BORDERS)
        if len(borders):
            return borders[dice.randrange(len(borders))]
    if dice.random() < 0.5:
        texts = ids[ids < 0x80]
        if len(texts):
            return texts[dice.randrange(len(texts))]
    return ids[dice.randrange(len(ids))]


def _towards_the_end(ids, tokenizer, dice, eos):
    if eos in ids:
        return eos
    if dice.random() < 0.9:
        is_in_text = len(ids) > 60
        for end in b'"' if is_in_text else _ENDS:
            ends = _starting_with(ids, tokenizer, bytes([end]))
            if len(ends):
                return ends[dice.randrange(len(ends))]
    return ids[dice.randrange(len(ids))]


def _starting_with(ids, tokenizer, some):
    if tokenizer.vocab_size < 300:  # of bytes
        return ids[np.isin(ids, list(some))]
    return np.array([i for i in ids[:2000] if tokenizer.token_bytes(int(i))[:1] in _bytes_of(some)])


def _bytes_of(some):
    return {bytes([byte]) for byte in some}
