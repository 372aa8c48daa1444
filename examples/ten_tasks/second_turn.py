"""Begin the second answer of a conversation in another way."""

from concordance_sdk import get_conversation, mod


@mod
def second_turn(run, opening: str = "As I said before:"):
    """Forces the opening once the user has written twice."""
    if sum(message.role == "user" for message in get_conversation()) > 1:
        yield run.force(opening)
