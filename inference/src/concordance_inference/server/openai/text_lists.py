"""Fields with one text or several, each as text or as token ids."""

from collections.abc import Sequence

from concordance_shared import InvalidRequestError


def listed(
    given: str | Sequence[str | int | Sequence[int]], *, field: str, each: str, most: int
) -> list[str | Sequence[int]]:
    """Return the texts of a field: one text, one list of token ids, or a list of either.

    Args:
        given: The field's value.
        field: Its name.
        each: What its entries are, for the message.
        most: Limit of entries.

    Raises:
        InvalidRequestError: There is none, there are too many, or the list mixes the two.
    """
    if isinstance(given, str):
        return [given]
    ids = [item for item in given if isinstance(item, int)]
    if ids and len(ids) == len(given):
        return [given]  # type: ignore[list-item]  # all are ids
    if ids or not given:
        raise InvalidRequestError(
            f"{field}: give a text, a list of texts, a list of token ids, or a list of such lists",
            param=field,
        )
    if len(given) > most:
        raise InvalidRequestError(
            f"{field} has {len(given)} {each}; the limit is {most}", param=field
        )
    return [item for item in given if not isinstance(item, int)]
