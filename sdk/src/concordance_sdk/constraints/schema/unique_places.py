"""Finds where `uniqueItems` has to be enforced by a `Watch`, which no grammar can do."""

from collections.abc import Iterable

from concordance_sdk.constraints.schema.budget import Budget
from concordance_sdk.constraints.schema.places import Kind, Members, Places
from concordance_sdk.constraints.schema.reachable import Reachable, must_differ
from concordance_sdk.constraints.schema.shapes import Array, Conjunction, Object


def unique_places(reachable: Reachable, root: Conjunction, budget: Budget) -> Places:
    """Return where `uniqueItems` has to be enforced by a `Watch`."""
    numbers = {root: 0}
    kinds: list[Kind] = []
    for conjunction in (waiting := [root]):  # `waiting` grows during iteration
        budget.spend()
        kinds.append(_kind(reachable, conjunction, numbers, waiting))
    return Places(kinds if any(kind.is_unique for kind in kinds) else [])


def _kind(
    reachable: Reachable,
    conjunction: Conjunction,
    numbers: dict[Conjunction, int],
    waiting: list[Conjunction],
) -> Kind:
    """Return the kind of a conjunction, and number those nested in it."""

    def numbered(inner: Iterable[Conjunction]) -> frozenset[int]:
        alive = [one for one in inner if one in reachable.alive]
        for one in alive:
            if one not in numbers:
                numbers[one] = len(numbers)
                waiting.append(one)
        return frozenset(numbers[one] for one in alive)

    shapes = reachable.shapes[conjunction]
    arrays = [shape for shape in shapes if isinstance(shape, Array)]
    objects = [shape for shape in shapes if isinstance(shape, Object)]
    return Kind(
        any(must_differ(shape) and reachable.few_values(shape) is None for shape in arrays),
        numbered(inner for shape in arrays for inner in (*shape.prefix, shape.rest)),
        tuple(
            Members(
                {key: numbered([value]) for key, value in shape.named},
                numbered(keys.value for keys in shape.others),
            )
            for shape in objects
        ),
    )
