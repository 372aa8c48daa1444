"""Leaves the oldest turns out of a conversation that does not fit into the context.

Turns are left out in blocks of a quarter of the room for the prompt. Which turns form a block
depends only on what precedes them, so several prompts of a conversation begin with the same turn,
and the cached prefix of one serves the next:

    turns         1 2 3 4 5 6 7 8 9 ...
    blocks        |-----|-----|-----
    prompt of 6   1 2 3 4 5 6
    prompt of 7         4 5 6 7            the first block is left out
    prompt of 8         4 5 6 7 8          it extends the one before
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

from concordance_shared import ContextLengthError, Message

Truncation = Literal["auto", "disabled"]

#: Blocks in the room for the prompt.
_NUM_BLOCKS = 4

#: A conversation with sizes above this part of the room does not fit.
_SURE = 1.5

#: Tokens that a chat format writes around a message, roughly.
_AROUND = 6

#: Roles of messages that remain, at the beginning of a conversation.
_INSTRUCTING = ("system", "developer")


def room_for_prompt(context_length: int, max_tokens: int | None) -> int:
    """Return the tokens of the context without those to leave for the completion.

    Args:
        context_length: The tokens of prompt and completion together.
        max_tokens: Limit of the completion; at most half of the context is left for it.
    """
    return context_length - min(max_tokens or 1, context_length // 2)


def shortened(
    messages: Sequence[Message],
    render: Callable[[Sequence[Message]], list[int]],
    count: Callable[[str], int],
    most: int,
) -> tuple[tuple[Message, ...], list[int]]:
    """Return the messages that remain, and their prompt.

    Messages of the system and the developer at the beginning remain, and so does the last turn. A
    turn begins with a message of the user, so no call loses its result.

    Args:
        messages: The conversation.
        render: Renders the prompt of messages.
        count: Counts the tokens of a text.
        most: The tokens that the prompt may have.

    Raises:
        ContextLengthError: Not even the last turn fits.
    """
    head = next(
        (i for i, message in enumerate(messages) if message.role not in _INSTRUCTING),
        len(messages),
    )
    turns = [i for i in range(head + 1, len(messages)) if messages[i].role == "user"]
    rendered: dict[int, list[int]] = {}

    def fits(cut: int) -> bool:
        try:
            rendered[cut] = render([*messages[:head], *messages[cut:]])
        except ContextLengthError:
            return False
        return len(rendered[cut]) <= most

    sizes = [_size(message, count) for message in messages]
    is_too_long = sum(sizes) > _SURE * most  # without rendering it
    if not turns or (not is_too_long and fits(head)):
        cut = head
    else:
        cut = first_fitting(turns, sizes, head, most, fits)
    left = (*messages[:head], *messages[cut:])
    return left, rendered[cut] if cut in rendered else render(left)


def first_fitting(
    turns: Sequence[int],
    sizes: Sequence[int],
    head: int,
    most: int,
    fits: Callable[[int], bool],
) -> int:
    """Return the turn that a conversation begins with after whole blocks are left out.

    The last one, if no rest fits.

    Args:
        turns: The indices at which turns begin, without the first turn.
        sizes: The size of each message, roughly.
        head: Where the first turn begins.
        most: The size that fits, roughly; a block is a part of it.
        fits: True if the conversation fits from a turn on.
    """
    after = [*itertools.accumulate(reversed(sizes), initial=0)][::-1]
    room = most - sum(sizes[:head])
    for cut in _ends_of_blocks(turns, sizes, head, most // _NUM_BLOCKS):
        if after[cut] <= room and fits(cut):  # few are rendered
            return cut
    first, last = 0, len(turns) - 1
    while first < last:
        middle = (first + last) // 2
        if fits(turns[middle]):
            last = middle
        else:
            first = middle + 1
    return turns[first]


def _ends_of_blocks(turns: Sequence[int], sizes: Sequence[int], head: int, block: int) -> list[int]:
    """The turns at which blocks end: the first ones after at least the size of a block."""
    ends: list[int] = []
    before = [0, *itertools.accumulate(sizes)]
    begin = head
    for turn in turns:
        if before[turn] - before[begin] >= block:
            ends.append(turn)
            begin = turn
    return ends


def _size(message: Message, count: Callable[[str], int]) -> int:
    """The tokens of a message, roughly; its reasoning is dropped from old turns."""
    calls = message.tool_calls or ()
    texts = [message.text, *(call.function.arguments for call in calls)]
    return sum(count(text) + _AROUND for text in texts)
