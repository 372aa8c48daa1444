"""Limit the reasoning of a model, more for a short question.

Run it with a scripted model, and with a real one:

    uv run python examples/thinking_budget.py
    uv run concordance generate "Why is the sky blue?" --mods examples/thinking_budget.py \
        --mod short_thoughts
"""

from concordance_sdk import Message, get_conversation, mod, use
from concordance_sdk.builtin import ReasoningBudget
from concordance_sdk.testing import play


@mod
class ShortThoughts:
    """As many tokens of reasoning as the question has letters, within bounds."""

    least: int = 16
    most: int = 512

    def mods(self):
        """The budget of this request; the tags are those of the model's chat format."""
        letters = sum(len(message.text) for message in get_conversation())
        budget = max(self.least, min(letters, self.most))
        return [use(ReasoningBudget, max_tokens=budget)]


if __name__ == "__main__":
    played = play(
        ShortThoughts,
        says="<think>Hm, 2 and 2. Let me see, that would be... 4.",
        messages=[Message(role="user", content="2 + 2?")],
    )
    print(played.text)
    played.expect_events("added 23 '</think>' (forced)")
