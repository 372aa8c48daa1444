"""Finds forced text that ends in a token that is a space, after which the model continues.

Most vocabularies have tokens such as ` world`, with the space, and the text that a model was
trained on has a token of a lone space only where no such token fits. After one, a model continues
with what follows it there: digits, line breaks, rare characters.
"""

from collections.abc import Sequence
from itertools import pairwise

from concordance_shared import Added, Event, ModError

from concordance_sdk.composition import ModUse
from concordance_sdk.testing.playing import Playing, Scene


def text_before_lone_space(used: ModUse, scene: Scene) -> str | None:
    """Play a mod, and return the first such text that it forces; `None` if there is none.

    Text that a constraint follows does not count, since the mod writes that too. It is recognized
    by a token that differs from the model's own.

    Args:
        used: The mod.
        scene: A scene whose script is a text and counts the model's own tokens.
    """
    if not scene.resumes or not isinstance(scene.script, str):
        return None
    playing = Playing([used], scene)
    while not playing.is_over:
        playing.step()
    try:
        events = playing.finish().events
    except ModError:  # which conformance reports as a problem
        return None
    return _followed_space(events, scene, scene.script)


def _followed_space(events: Sequence[Event], scene: Scene, script: str) -> str | None:
    tokenizer = scene.tokenizer
    wanted = [*tokenizer.encode(script), min(tokenizer.eos_token_ids)]
    added = [event for event in events if isinstance(event, Added)]
    num_sampled = 0
    for event, following in pairwise(added):
        num_sampled += 0 if event.forced else len(event.added_tokens)
        if not event.forced or following.forced or not event.added_tokens:
            continue
        is_free = following.added_tokens == (wanted[min(num_sampled, len(wanted) - 1)],)
        if is_free and tokenizer.decode(event.added_tokens[-1:]) == " ":
            return tokenizer.decode(event.added_tokens)
    return None
