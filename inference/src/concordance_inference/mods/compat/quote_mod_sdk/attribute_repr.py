"""A `repr` of public attributes, for events, actions and strategies."""


class AttributeRepr:
    """An object whose `repr` lists its public attributes."""

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{name}={value!r:.80}" for name, value in vars(self).items() if name[0] != "_"
        )
        return f"{type(self).__name__}({fields})"
