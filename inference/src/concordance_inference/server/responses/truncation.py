"""Drops the oldest items of a conversation that does not fit into the model's context."""

from collections.abc import Callable, Sequence

from concordance_shared import ContextLengthError
from msgspec import structs

from concordance_inference.chat.truncation import first_fitting
from concordance_inference.generation import GenerationRequest
from concordance_inference.server.responses.items import Item, MessageItem

Build = Callable[[Sequence[Item]], GenerationRequest]


def shortened(
    items: Sequence[Item], build: Build, most: int, count: Callable[[Item], int]
) -> tuple[int, GenerationRequest]:
    """Make the request with as much of a conversation as fits.

    Messages of the system and the developer at its beginning remain, and so does the last turn.
    What is left out are whole blocks of turns, and ends before a message of the user, so that no
    call loses its output.

    Args:
        items: The conversation.
        build: Makes the request of items.
        most: The tokens that the prompt may have.
        count: Counts the tokens of an item, roughly.

    Returns:
        The number of items that are left out, and the request.

    Raises:
        ContextLengthError: Not even the last turn fits.
    """
    head = next((i for i, item in enumerate(items) if not _is_head(item)), len(items))
    turns = [i for i in range(head + 1, len(items)) if _is_users(items[i])]
    trials = _Trials(items, head, build, most)
    if trials.fits(head) or not turns:
        return 0, trials.built(head)
    sizes = [count(item) for item in items]
    cut = first_fitting(turns, sizes, head, most, trials.fits)
    return cut - head, trials.built(cut)


class _Trials:
    """Requests without the items before an item."""

    def __init__(self, items: Sequence[Item], head: int, build: Build, most: int) -> None:
        self._items = items
        self._head = head
        self._build = build
        self._most = most
        self._built: dict[int, GenerationRequest] = {}

    def fits(self, cut: int) -> bool:
        """True if the prompt is short enough."""
        try:
            return len(self.built(cut).prompt_ids) <= self._most
        except ContextLengthError:
            return False

    def built(self, cut: int) -> GenerationRequest:
        """The request without the items between the head and an item.

        Raises:
            ContextLengthError: It is too long.
        """
        if cut not in self._built:
            request = self._build([*self._items[: self._head], *self._items[cut:]])
            first = next(iter(self._built.values()), request)
            self._built[cut] = structs.replace(request, request_id=first.request_id)
        return self._built[cut]


def _is_head(item: Item) -> bool:
    return isinstance(item, MessageItem) and item.role in ("system", "developer")


def _is_users(item: Item) -> bool:
    return isinstance(item, MessageItem) and item.role == "user"
