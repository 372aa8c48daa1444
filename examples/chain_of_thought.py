"""Make the model reason step by step, but only for questions with numbers.

Run it with a scripted model, and with a real one:

    uv run python examples/chain_of_thought.py
    uv run concordance generate "What is 17 * 3?" --mods examples/chain_of_thought.py \
        --mod think_first
"""

import re

from concordance_sdk import Message, get_conversation, mod
from concordance_sdk.testing import play


@mod
def think_first(run, thought: str = "Let us go step by step."):
    """Begins the answer to a calculation with a thought."""
    question = get_conversation()[-1].text if get_conversation() else ""
    if len(re.findall(r"\d+", question)) > 1:
        yield run.force(thought)


def asked(question, says):
    """The completion of a model that says this, for a question."""
    return play(think_first, says=says, messages=[Message(role="user", content=question)]).text


if __name__ == "__main__":
    print(asked("What is 17 * 3?", " 17 is 10 and 7. 30 and 21 are 51."))
    print(asked("Who are you?", "I am a model."))
