"""Limit the reasoning of a model by the length of the question.

The same mod works for models that reason between two tags and for gpt-oss.

Run it with a scripted model, and with a real one:

    uv run python examples/thinking_budget.py
    uv run concordance generate "Why is the sky blue?" --mods examples/thinking_budget.py \
        --mod short_thoughts
"""

from concordance_sdk import Message, get_conversation, mod, use
from concordance_sdk.builtin import ReasoningBudget
from concordance_sdk.testing import message_channels, play, tag_channels


@mod
class ShortThoughts:
    """As many tokens of reasoning as the question has letters, within bounds."""

    least: int = 16
    most: int = 512

    def mods(self):
        """The budget of this request; how the reasoning ends is the model's own way."""
        letters = sum(len(message.text) for message in get_conversation())
        budget = max(self.least, min(letters, self.most))
        return [use(ReasoningBudget, max_tokens=budget)]


if __name__ == "__main__":
    tagged = "<think>Hm, 2 and 2. Let me see, that would be... 4."
    channeled = tagged.replace("<think>", "<|channel|>analysis<|message|>")  # as gpt-oss writes it
    for says, channels in ((tagged, tag_channels()), (channeled, message_channels())):
        question = Message(role="user", content="2 + 2?")
        played = play(ShortThoughts, says=says, channels=channels, messages=[question])
        print(played.tokenizer.decode(played.token_ids[:-1]))
