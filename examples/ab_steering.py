"""Compare two wordings: steer half of all requests towards each.

Run it with a scripted model, and with a real one:

    uv run python examples/ab_steering.py
    uv run concordance generate "Recommend a drink." --mods examples/ab_steering.py --mod drinks
"""

import zlib
from collections import Counter

from concordance_sdk import Message, get_conversation, mod, use
from concordance_sdk.builtin import BiasWords
from concordance_sdk.testing import play

VARIANTS = {"A": ["tea"], "B": ["coffee"]}


def variant_of(conversation):
    """Which variant a conversation belongs to: the same one every time that it is asked."""
    said = "\n".join(message.text for message in conversation)
    return "AB"[zlib.crc32(said.encode()) % 2]


@mod
class Drinks:
    """Makes the words of the request's variant more probable."""

    strength: float = 3.0

    def mods(self):
        """Decided once for each request."""
        words = VARIANTS[variant_of(get_conversation())]
        return [use(BiasWords, words=words, strength=self.strength)]


def model(completion):
    """A model that finds both words equally probable."""
    said = bytes(completion).decode()
    rests = [word.removeprefix(said) for word in ("tea", "coffee") if word.startswith(said)]
    return {ord(rest[0]): 1.0 for rest in rests if rest} or {256: 9.0}


if __name__ == "__main__":
    questions = [f"What shall user {number} drink?" for number in range(40)]
    asked = [[Message(role="user", content=question)] for question in questions]
    said = Counter((variant_of(m), play(Drinks, script=model, messages=m).text) for m in asked)
    for (variant, text), count in sorted(said.items()):
        print(f"{variant}: {text!r} {count} times")
