"""Ask the model if its answer is correct, and have it write a new one if not."""

from concordance_sdk import mod
from concordance_sdk.constraints import ChoicesStrat


@mod
def self_check(run):
    """Asks once, after the answer; a stream shows the answer after the check."""
    start = run.mark()
    yield run.generate()
    verdict = yield run.ask("\nIs that correct?\n", ChoicesStrat(["yes", "no"]))
    if verdict == "no":
        yield run.rewind(start)
        yield run.force("Let me think again:")
        yield run.generate(temperature=0.3)
