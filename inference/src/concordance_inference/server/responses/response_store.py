"""Responses that are kept in memory for later requests: a bounded number, of a bounded size."""

import threading
from collections import OrderedDict

from concordance_shared import ConcordanceError
from msgspec import Struct, field

from concordance_inference.caller import current_owner
from concordance_inference.server.responses.errors import UnknownItemError, UnknownResponseError
from concordance_inference.server.responses.event_log import EventLog
from concordance_inference.server.responses.items import Item

#: The usual limits.
MAX_RESPONSES = 1024
MAX_BYTES = 250_000_000

#: Limit of ids that are remembered, to say that a response was evicted or deleted.
_MAX_GONE = 16384


class StoredResponse(Struct, frozen=True, kw_only=True, eq=False):
    """A response that has ended, and the conversation before it.

    Attributes:
        id: Its id.
        status: How it ended.
        body: The response, as JSON.
        num_bytes: The size of all of it.
        is_background: It ran in the background.
        context: The items before it, with those of the responses before.
        output: Its items.
        log: Its events, if it ran in the background with a stream.
    """

    id: str
    status: str
    body: bytes
    num_bytes: int
    is_background: bool
    context: tuple[Item, ...]
    output: tuple[Item, ...]
    log: EventLog | None = None
    owner: str = field(default_factory=current_owner)  # who may find it


class _Held(Struct):
    """An item, and the number of responses that have it."""

    item: Item
    num_responses: int = 0


class _Gone(Struct, frozen=True):
    """What happened to a response."""

    reason: str
    owner: str


class ResponseStore:
    """The responses of a server, the least recently used of which is evicted first. Thread-safe.

    An owner finds its own only.
    """

    def __init__(self, *, max_responses: int = MAX_RESPONSES, max_bytes: int = MAX_BYTES) -> None:
        """Keep up to `max_responses`, of up to `max_bytes` together.

        An item counts for each response whose conversation has it.
        """
        self._max_responses = max_responses
        self._max_bytes = max_bytes
        self._responses: OrderedDict[str, StoredResponse] = OrderedDict()
        self._num_bytes = 0
        self._items: dict[tuple[str, str], _Held] = {}  # by owner and id
        self._gone: OrderedDict[str, _Gone] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._responses)

    @property
    def num_bytes(self) -> int:
        """The size of all responses."""
        return self._num_bytes

    def put(self, response: StoredResponse) -> None:
        """Keep a response; evict others if there are too many."""
        with self._lock:
            self._remove(response.id)
            self._gone.pop(response.id, None)
            self._responses[response.id] = response
            self._num_bytes += response.num_bytes
            for item in (*response.context, *response.output):
                key = response.owner, item.id
                held = self._items.setdefault(key, _Held(item))
                held.item = item
                held.num_responses += 1
            while self._is_full():
                oldest = next(iter(self._responses.values()))
                self._remove(oldest.id)
                reason = "was evicted, since the server keeps " + self._limits()
                self._note(oldest.id, reason, oldest.owner)

    def expect(self, response_id: str) -> None:
        """Note that a response will be put that has not ended yet."""
        with self._lock:
            reason = "is still in progress; wait until it has ended"
            self._note(response_id, reason, current_owner())

    def find(self, response_id: str) -> StoredResponse | None:
        """Return a response of the present owner, which becomes the most recently used one."""
        with self._lock:
            found = self._responses.get(response_id)
            if found is None or found.owner != current_owner():
                return None
            self._responses.move_to_end(response_id)
            return found

    def get(self, response_id: str) -> StoredResponse:
        """Return a response.

        Raises:
            UnknownResponseError: There is none.
        """
        found = self.find(response_id)
        if found is None:
            raise self.lack(response_id)
        return found

    def delete(self, response_id: str) -> None:
        """Remove a response.

        Raises:
            UnknownResponseError: There is none.
        """
        is_there = self.find(response_id) is not None
        with self._lock:
            if is_there := is_there and self._remove(response_id):
                self._note(response_id, "was deleted", current_owner())
        if not is_there:
            raise self.lack(response_id)

    def item(self, item_id: str, param: str) -> Item:
        """Return an item of a response or of the conversation before one.

        Args:
            item_id: Its id.
            param: The field that refers to it, for the error.

        Raises:
            UnknownItemError: There is none.
        """
        with self._lock:
            held = self._items.get((current_owner(), item_id))
        if held is None:
            raise UnknownItemError(
                f"{param}: no stored response has the item {item_id!r:.80}; it may be one of a "
                "response with store=false, or of one that was deleted or evicted; send the item",
                param=param,
            )
        return held.item

    def lack(self, response_id: str) -> ConcordanceError:
        """The error that there is no response of this id."""
        return UnknownResponseError(self.lack_of(response_id), param="response_id")

    def lack_of(self, response_id: str) -> str:
        """Say why there is no response of this id."""
        with self._lock:
            gone = self._gone.get(response_id)
        if gone is not None and gone.owner == current_owner():
            return f"the response {response_id!r:.80} {gone.reason}"
        return (
            f"there is no response {response_id!r:.80}; those with store=false, and those of an "
            "earlier run of the server, are not kept"
        )

    def _is_full(self) -> bool:
        return len(self._responses) > self._max_responses or self._num_bytes > self._max_bytes

    def _limits(self) -> str:
        return (
            f"up to {self._max_responses} responses and {self._max_bytes / 1e9:g} GB "
            "(--stored-responses, --stored-response-memory)"
        )

    def _remove(self, response_id: str) -> bool:
        response = self._responses.pop(response_id, None)
        if response is None:
            return False
        self._num_bytes -= response.num_bytes
        for item in (*response.context, *response.output):
            key = response.owner, item.id
            held = self._items[key]
            held.num_responses -= 1
            if not held.num_responses:
                del self._items[key]
        return True

    def _note(self, response_id: str, reason: str, owner: str) -> None:
        self._gone[response_id] = _Gone(reason, owner)
        if len(self._gone) > _MAX_GONE:
            self._gone.popitem(last=False)
