"""Classify a message under one of the labels of the request, and write nothing else.

Run it with a scripted model, and with a real one:

    uv run python examples/classifier.py
    uv run concordance generate "The app crashes when I log in." --mods examples/classifier.py \
        --mod classifier
"""

from concordance_sdk import mod, use
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.self_prompt import SelfPrompt
from concordance_sdk.testing import play


@mod(max_backtrack=None)
class Classifier:
    """Asks the model for a label by a self-prompt, and makes the label the whole completion."""

    labels: list[str] = ["billing", "bug", "praise"]  # noqa: RUF012  # each request gets a copy

    def __init__(self):
        """Ask for the most probable of this request's labels, whatever its temperature."""
        self.label = SelfPrompt(
            prompt="This message belongs under the label ",
            constraint=ChoicesStrat(self.labels),
            argmax_sampling=True,
        )

    def parts(self):
        """The self-prompt."""
        return [self.label]

    def added(self, event, actions, tokenizer):
        """End the completion with the label once the model has chosen it."""
        label = self.label.answer(event.request_id)
        return actions.force_output(tokenizer.encode(label)) if label else None


def model(completion):
    """A model that prefers "bug", then "question"."""
    said = bytes(completion).decode().rpartition("label ")[2]
    wanted = {"question": 1.0, "bug": 2.0}
    return {ord(word[len(said)]): score for word, score in wanted.items() if word.startswith(said)}


if __name__ == "__main__":
    print(play(Classifier, script=model).text)
    print(play(use(Classifier, labels=["praise", "question"]), script=model).text)
