"""Fill a form from the conversation, and ask the user for missing fields.

Run it with a scripted model, and with a real one:

    uv run python examples/form_filling.py
    uv run concordance generate "A table for four on Friday, please." \
        --mods examples/form_filling.py --mod reservation
"""

from concordance_sdk import mod
from concordance_sdk.constraints import CharsMode, CharsStrat, ChoicesStrat
from concordance_sdk.flow import FlowEngine, FlowQuestion
from concordance_sdk.testing import play

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
BIG = "We have tables for eight at most."


def field(name, prompt, strategy):
    """A hidden question: it is erased from the completion, and its answer is kept."""
    return FlowQuestion(name, prompt, strategy, erase="all")


is_given = field("is_given", " Is the number of guests known? ", ChoicesStrat(["yes", "no"]))
guests = field("guests", " How many guests? ", CharsStrat(CharsMode.NUMERIC, min=1, stop=2))
day = field("day", " On which day? ", ChoicesStrat([*DAYS, "unknown"]))

is_given.on("yes", guests).then("For how many guests may I book?")
guests.branch(lambda state: BIG if int(state.answers["guests"]) > 8 else None)
guests.then(day)
day.on("unknown", lambda state: f"On which day will the {state.answers['guests']} of you come?")
day.then(lambda state: f"A table for {state.answers['guests']} on {state.answers['day']}.")

FORM = FlowEngine(entry_question=is_given)


@mod(max_backtrack=None)
def reservation(event, actions, tokenizer):
    """Takes the reservation of a table."""
    return FORM.handle_event(event, actions, tokenizer)


if __name__ == "__main__":
    for said in ("y4\nF", "y4\nu", "y12", "n"):  # what is left to the model of its answers
        print(play(reservation, says=said).text)
