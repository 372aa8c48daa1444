"""The completion of a request in Harmony whose masks are always known, one position at a time.

Without engine, caches, mods and speculation: at each position, the rules and the grammar of a
message are given all of its tokens again.
"""

import numpy as np
from concordance_inference.harmony.content_formats import compiled_formats
from concordance_inference.token_rules import follow
from concordance_sdk.channels.completion_channels import channels_after
from concordance_sdk.constraints import compile_constraint
from naive.sampling import penalized, sample


def naive_ids(logits_after, request, tokenizer, *, output=None, offer=None):
    """The tokens of a request without mods of its own.

    Args:
        logits_after: Returns the logits that follow tokens.
        request: The request.
        tokenizer: The model's.
        output: The format of its content.
        offer: Its tools.
    """
    formats = compiled_formats(output, offer, tokenizer)
    prompt, ids, num_drawn = list(request.prompt_ids), [], 0
    ends = request.channels.tokens.stop_ids

    def full():
        return len(ids) >= request.max_tokens or (ids and ids[-1] in ends)

    while not full():
        row = np.asarray(logits_after([*prompt, *ids]), np.float64)
        row = penalized(row, ids, request.sampling)
        matcher, end_id = _matcher(request, formats, tokenizer, ids)
        if matcher is not None:
            forced = [end_id] if matcher.is_complete else list(matcher.forced())
            if forced:
                ids += forced[: request.max_tokens - len(ids)]
                continue
            bits = np.frombuffer(bytes(matcher.mask()), np.uint8)
            row = _kept(row, np.unpackbits(bits, bitorder="little")[: len(row)] == 1)
        if (rules := request.token_rules) is not None:
            row = _kept(row, _legal(rules, follow(rules, rules.start(prompt), ids), len(row)))
        token_id, *_ = sample(row, request.sampling.temperature, request.sampling, num_drawn)
        ids.append(token_id)
        num_drawn += 1
    return tuple(ids)


def _matcher(request, formats, tokenizer, ids):
    """The grammar of the message in which a completion ends, and the token that ends it."""
    channels, tokens = channels_after(request.channels, ids), request.channels.tokens
    constraint = formats.of(channels.place)
    if constraint is None:
        return None, None
    begin = max(i + 1 for i, token_id in enumerate(ids) if token_id == tokens.message)
    matcher = compile_constraint(constraint, tokenizer).start()
    matcher.extend(ids[begin:])
    return matcher, tokens.call if channels.place.is_to_tool else tokens.return_


def _legal(rules, state, size):
    legal = rules.legal(state)
    if legal is None:
        return np.ones(size, bool)
    listed = np.isin(np.arange(size), list(legal.token_ids))
    return ~listed if legal.is_complement else listed


def _kept(row, stays):
    kept = np.where(np.pad(stays, (0, len(row) - len(stays))), row, -np.inf)
    return kept if np.isfinite(kept).any() else row
