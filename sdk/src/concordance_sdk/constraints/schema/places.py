"""Where `uniqueItems` applies in a document, which no grammar can express."""

from msgspec import Struct, field


class Members(Struct, frozen=True):
    """The kinds that the values of an object can have, as indices into `Places.kinds`."""

    named: dict[str, frozenset[int]]
    others: frozenset[int]


class Kind(Struct, frozen=True):
    """A set of values that match the same schemas.

    Attributes:
        is_unique: True if the items of an array of this kind must differ.
        items: The kinds that the items of an array can have.
        objects: For each alternative shape of an object, the kinds of its values.
    """

    is_unique: bool
    items: frozenset[int]
    objects: tuple[Members, ...]


class Places(Struct, frozen=True):
    """The kinds of all values of a document; the document itself has kind 0.

    False if `uniqueItems` applies nowhere.

    Examples:
        >>> names = Kind(is_unique=True, items=frozenset(), objects=())
        >>> root = Kind(False, frozenset(), (Members({"names": frozenset({1})}, frozenset()),))
        >>> places = Places([root, names])
        >>> places.is_unique(places.below(frozenset({0}), "names"))
        True
    """

    kinds: list[Kind] = field(default_factory=list[Kind])

    def __bool__(self) -> bool:
        """True if `uniqueItems` applies anywhere."""
        return bool(self.kinds)

    def is_unique(self, kinds: frozenset[int]) -> bool:
        """True if an array of one of these kinds may be subject to `uniqueItems`."""
        return any(self.kinds[kind].is_unique for kind in kinds)

    def below(self, kinds: frozenset[int], key: str | None) -> frozenset[int]:
        """Return the possible kinds of a nested value.

        Args:
            kinds: The possible kinds of the outer value.
            key: The key of the nested value; `None` for an item of an array.
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


#: The value for a document without `uniqueItems`.
NOWHERE = Places()
