"""Replace the name of a competitor while the model writes it."""

from concordance_sdk import mod
from concordance_sdk.builtin import Replace


@mod
class Competitor(Replace):
    """The built-in mod `replace`, with other defaults."""

    find: str = "Paris"
    replacement: str = "our product"
    whole_words: bool = True  # not in "Parisian"
