"""Report how probable the tokens of the answer were."""

import math

from concordance_sdk import mod


@mod
def probabilities(run):
    """Sends a summary beside the text, and leaves the text as it is."""
    text = yield run.generate(logprobs=True)
    found = [math.exp(logprob) for logprob in text.logprobs if logprob is not None]
    if found:
        yield run.report(tokens=len(found), mean=sum(found) / len(found), least=min(found))
