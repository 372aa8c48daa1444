"""A page of the items that a response was generated from."""

from collections.abc import Sequence
from typing import Any

from concordance_shared import InvalidRequestError
from starlette.datastructures import QueryParams

from concordance_inference.server.responses.items import Item

_MAX_LIMIT = 100
_USUAL_LIMIT = 20


def page_of(items: Sequence[Item], query: QueryParams) -> dict[str, Any]:
    """Return a page of items, as the parameters of the URL choose it.

    Raises:
        InvalidRequestError: A parameter is wrong; `param` names it.
    """
    limit = _limit(query.get("limit"))
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequestError(f"order is {order!r:.40}; it is 'asc' or 'desc'", param="order")
    ordered = list(items if order == "asc" else reversed(items))
    begin = _after(ordered, query.get("after"))
    page = ordered[begin : begin + limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0].id if page else "",
        "last_id": page[-1].id if page else "",
        "has_more": begin + limit < len(ordered),
    }


def _limit(given: str | None) -> int:
    if given is None:
        return _USUAL_LIMIT
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:9]) <= _MAX_LIMIT:
        raise InvalidRequestError(
            f"limit is {given!r:.40}; it is a number from 1 to {_MAX_LIMIT}", param="limit"
        )
    return int(given[:9])


def _after(items: Sequence[Item], item_id: str | None) -> int:
    """The index after an item."""
    if item_id is None:
        return 0
    found = next((i for i, item in enumerate(items) if item.id == item_id), None)
    if found is None:
        raise InvalidRequestError(
            f"after: this response has no input item {item_id!r:.80}", param="after"
        )
    return found + 1
