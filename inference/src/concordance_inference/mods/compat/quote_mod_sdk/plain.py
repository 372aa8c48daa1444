"""What older events and actions have in common."""


class Plain:
    """An object whose attributes can be read, set and listed; shown with what it has."""

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{name}={value!r:.80}" for name, value in vars(self).items() if name[0] != "_"
        )
        return f"{type(self).__name__}({fields})"
