"""Where the arrays of a document stand whose items differ, which no grammar can say."""

from msgspec import Struct, field


class Members(Struct, frozen=True):
    """What the values of an object may be: kinds of values, by their numbers in `Places`."""

    named: dict[str, frozenset[int]]
    others: frozenset[int]


class Kind(Struct, frozen=True):
    """Values that follow the same schemas.

    Attributes:
        is_unique: Whether an array of them has items that differ.
        items: What the items of an array may be.
        objects: What the values of an object may be, for each way to be one.
    """

    is_unique: bool
    items: frozenset[int]
    objects: tuple[Members, ...]


class Places(Struct, frozen=True):
    """The values of a document by their kinds, from the outermost on, which is of kind 0.

    False if no array has items that differ.

    Examples:
        >>> names = Kind(is_unique=True, items=frozenset(), objects=())
        >>> root = Kind(False, frozenset(), (Members({"names": frozenset({1})}, frozenset()),))
        >>> places = Places([root, names])
        >>> places.is_unique(places.below(frozenset({0}), "names"))
        True
    """

    kinds: list[Kind] = field(default_factory=list[Kind])

    def __bool__(self) -> bool:
        """Check that there is an array whose items differ."""
        return bool(self.kinds)

    def is_unique(self, kinds: frozenset[int]) -> bool:
        """Whether an array that is of one of some kinds may have to have items that differ."""
        return any(self.kinds[kind].is_unique for kind in kinds)

    def below(self, kinds: frozenset[int], key: str | None) -> frozenset[int]:
        """The kinds of a value inside of one.

        Args:
            kinds: What the outer value may be.
            key: Where the inner one stands in an object; `None` for an item of an array.
        """
        if key is None:
            return frozenset[int]().union(*(self.kinds[kind].items for kind in kinds))
        return frozenset[int]().union(
            *(
                members.named.get(key, members.others)
                for kind in kinds
                for members in self.kinds[kind].objects
            )
        )


#: No array has items that differ.
NOWHERE = Places()
