"""Ban some words: each is removed when it appears, and the model continues without it.

Run it with a scripted model, and with a real one:

    uv run python examples/banned_words.py
    uv run concordance generate "Describe this product." --mods examples/banned_words.py \
        --mod plain_words
"""

from concordance_sdk import mod, use
from concordance_sdk.builtin import Avoid
from concordance_sdk.testing import play

HYPE = ["amazing", "revolutionary", "game-changing"]


@mod
class PlainWords:
    """A mod that contains another one, with its parameters."""

    def mods(self):
        """What it is made of."""
        return [use(Avoid, words=HYPE)]


def model(completion):
    """A model that generates "a truly amazing tool"; its second choice everywhere is "useful"."""
    said = bytes(completion).decode()
    plans = ("a truly amazing tool", "a truly useful tool")
    rests = [plan.removeprefix(said) or "<" for plan in plans if plan.startswith(said)]
    scores = {ord(rest[0]): 1.0 - 0.1 * i for i, rest in reversed([*enumerate(rests)])}
    return scores if "<" not in rests else {256: 1.0}


if __name__ == "__main__":
    played = play(PlainWords, script=model)
    print(played.text)
    print("\n".join(line for line in played.log if line.startswith("backtracked")))
