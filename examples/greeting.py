"""Start every completion with a greeting that the request chooses.

Run it with a scripted model, and with a real one:

    uv run python examples/greeting.py
    uv run concordance generate "Who are you?" --mods examples/greeting.py --mod welcome
"""

from concordance_sdk import mod, use
from concordance_sdk.testing import play


@mod(max_backtrack=0)
class Welcome:
    """Puts a greeting in the place of the first token that is sampled."""

    words: str = "Good morning!"

    def sampled(self, event, actions, tokenizer):
        """Force the greeting; the model goes on behind it."""
        if event.step == 0:
            return actions.force_tokens(tokenizer.encode(self.words))


if __name__ == "__main__":
    print(play(Welcome, says=" I am a model.").text)
    print(play(use(Welcome, words="Ahoy!"), says=" I am a model.").text)
