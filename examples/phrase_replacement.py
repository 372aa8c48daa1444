"""Replace a phrase in the completion and in the context of the model.

Run it with a scripted model, and with a real one:

    uv run python examples/phrase_replacement.py
    uv run concordance generate "What is the capital of France?" \
        --mods examples/phrase_replacement.py --mod relocate
"""

from concordance_sdk import mod
from concordance_sdk.testing import play
from concordance_sdk.text import CompletionText, PhraseWatch


@mod(max_backtrack=16)
class Relocate:
    """Says "Lyon" wherever the model says "Paris"; what follows is about Lyon."""

    find: str = "Paris"
    instead: str = "Lyon"

    def __init__(self):
        """Begin with an empty completion."""
        self.text = CompletionText()
        self.watch = PhraseWatch(self.text, self.find, whole_words=True)

    def added(self, event, actions, tokenizer):
        """Look for the phrase; it may begin and end inside tokens."""
        self.text.follow(event, tokenizer)
        if match := self.watch.find():
            return self.watch.replace(match, self.instead, actions)


if __name__ == "__main__":
    played = play(Relocate, says="The capital is Paris, and Parisians know it.")
    print(played.text)
    print(f"{played.num_backtracked} tokens were backtracked, {played.num_forced} forced")
