"""A mod that forces and backtracks at random, for comparisons of engines."""

from concordance_sdk import Added, ForwardPass, Sampled, mod


def meddler_of(dice, random_ids):
    """Make the mod.

    Args:
        dice: A `random.Random`.
        random_ids: A function that returns n token ids.
    """

    @mod(name="meddler", on=[ForwardPass, Sampled, Added], max_backtrack=None)
    def meddle(event, actions):
        roll = dice.random()
        tokens = random_ids(dice.choice([1, 1, 2, 3, 9]))
        length = event.step + (len(event.added_tokens) if isinstance(event, Added) else 0)
        if roll < 0.12:
            return actions.force_tokens(tokens)
        if roll < 0.22 and length:
            return actions.backtrack(dice.randint(1, min(length, dice.choice([1, 3, 12]))))
        if roll < 0.30 and length:
            return actions.backtrack(dice.randint(1, min(length, 12)), tokens)
        return None

    return meddle
