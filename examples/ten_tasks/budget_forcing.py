"""Have the model continue its reasoning where it would end it."""

from concordance_sdk import mod


@mod
def budget_forcing(run, times: int = 2, end: str = "</think>", text: str = " Wait,"):
    """Replaces the end of the reasoning, or of the completion, by a text."""
    for _ in range(times):
        yield run.generate(until=end)
        yield run.force(text)
