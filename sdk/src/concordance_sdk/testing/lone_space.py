"""Finds forced text that ends in a token that is a space, after which the model continues.

Most vocabularies have tokens such as ` world`, with the space, and the text that a model was
trained on has a token of a lone space only where no such token fits. After one, a model continues
with what follows it there: digits, line breaks, rare characters.
"""

from collections.abc import Sequence

from concordance_shared import Added, Event, ModError

from concordance_sdk.composition import ModUse
from concordance_sdk.testing.playing import Playing, Scene

#: Tokens of the model's own after which no constraint is assumed.
_NUM_FREE = 3


def text_before_lone_space(used: ModUse, scene: Scene) -> str | None:
    """Play a mod, and return the first such text that it forces; `None` if there is none.

    Text that a constraint follows does not count, since the mod writes that too. It is recognized
    by tokens that differ from the model's own.

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
    for i, event in enumerate(added):
        num_sampled += 0 if event.forced else len(event.added_tokens)
        ends_in_space = event.forced and tokenizer.decode(event.added_tokens[-1:]) == " "
        if ends_in_space and _is_free(added[i + 1 : i + 1 + _NUM_FREE], wanted[num_sampled:]):
            return tokenizer.decode(event.added_tokens)
    return None


def _is_free(following: Sequence[Added], wanted: Sequence[int]) -> bool:
    """True if tokens follow, and all are those that the model chooses by itself."""
    tokens = [token for event in following for token in event.added_tokens]
    is_sampled = not any(event.forced for event in following)
    return bool(tokens) and is_sampled and tokens == [*wanted[: len(tokens)]]
