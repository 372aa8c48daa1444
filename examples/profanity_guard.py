"""Check only the final text, and replace it if it is not polite.

Run it with a scripted model, and with a real one:

    uv run python examples/profanity_guard.py
    uv run concordance generate "Say darn." --mods examples/profanity_guard.py --mod guard
"""

import re

from concordance_sdk import mod, use
from concordance_sdk.testing import play

INSTEAD = "I would rather not say that."


@mod
def guard(run, words: tuple[str, ...] = ("darn", "heck"), instead: str = INSTEAD):
    """Checks the text once it has ended; a stream shows nothing after the mark before."""
    start = run.mark()
    text = yield run.generate()
    if not {*words}.isdisjoint(re.findall(r"\w+", text.lower())):
        yield run.rewind(start)
        yield run.force(instead)
        yield run.stop()


if __name__ == "__main__":
    print(play(guard, says="Good day to you.", stream=True).text)
    print(play(guard, says="Oh darn it, no.", stream=True).text)
    print(play(use(guard, words=["day"]), says="Good day to you.").text)
