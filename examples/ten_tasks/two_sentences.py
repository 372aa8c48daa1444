"""End the answer after two sentences."""

from concordance_sdk import mod


@mod
def two_sentences(run, count: int = 2):
    """Generates `count` sentences, and ends the completion."""
    yield run.generate(sentences=count)
    yield run.stop()
