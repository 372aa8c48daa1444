"""Classify a message under one of the labels of the request, and write nothing else.

Run it with a scripted model, and with a real one:

    uv run python examples/classifier.py
    uv run concordance generate "The app crashes when I log in." --mods examples/classifier.py \
        --mod classifier
"""

from concordance_sdk import mod, use
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.testing import play


@mod
def classifier(run, labels: tuple[str, ...] = ("billing", "bug", "praise")):
    """Asks for the most probable label, whatever the temperature, and keeps only the answer."""
    question = "This message belongs under the label:\n"
    yield run.ask(question, ChoicesStrat(labels), erase="prompt", temperature=0)
    yield run.stop()


def model(completion):
    """A model that prefers "bug", then "question"."""
    said = bytes(completion).decode().rpartition("label:\n")[2]
    wanted = {"question": 1.0, "bug": 2.0}
    return {ord(word[len(said)]): score for word, score in wanted.items() if word.startswith(said)}


if __name__ == "__main__":
    print(play(classifier, script=model).text)
    print(play(use(classifier, labels=["praise", "question"]), script=model).text)
