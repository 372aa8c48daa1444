"""Check only the final text, and replace it if it is not polite.

Run it with a scripted model, and with a real one:

    uv run python examples/profanity_guard.py
    uv run concordance generate "Say darn." --mods examples/profanity_guard.py --mod guard
"""

import re

from concordance_sdk import mod, use
from concordance_sdk.testing import play
from concordance_sdk.text import CompletionText


@mod(max_backtrack=None)
class Guard:
    """Lets the model speak to its end, and judges then; a stream shows nothing before."""

    words: list[str] = ["darn", "heck"]  # noqa: RUF012  # each request gets a copy
    instead: str = "I would rather not say that."

    def __init__(self):
        """Begin with an empty completion."""
        self.text = CompletionText()

    def prefilled(self, event, actions, tokenizer):
        """Learn the budget: a completion that is cut is final too."""
        self.text.follow(event, tokenizer)

    def added(self, event, actions, tokenizer):
        """Judge the text when nothing follows."""
        self.text.follow(event, tokenizer)
        said = re.findall(r"\w+", str(self.text).lower()) if self.text.is_final else []
        if not {*said}.isdisjoint(self.words):
            return actions.force_output(tokenizer.encode(self.instead))


if __name__ == "__main__":
    print(play(Guard, says="Good day to you.", stream=True).text)
    print(play(Guard, says="Oh darn it, no.", stream=True).text)
    print(play(use(Guard, words=["day"]), says="Good day to you.").text)
