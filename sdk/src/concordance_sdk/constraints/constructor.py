"""The base of constraints that are Structs: their constructors name the class and its arguments."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from concordance_shared import ConstraintError
from concordance_shared.suggestions import did_you_mean, similar_names
from msgspec import Struct

_UNKNOWN = re.compile("Unexpected keyword argument '(?P<name>[^']*)'")
_MISSING = re.compile("Missing required argument '(?P<name>[^']*)'")
_TOO_MANY = "Extra positional arguments provided"


if TYPE_CHECKING:

    class ConstraintStruct(Struct, frozen=True):
        """A Struct that raises a `ConstraintError` for wrong arguments."""

else:

    class _Checked(type(Struct)):
        """Makes the instances. msgspec does so in C, and its messages do not name the class."""

        def __call__(cls, *args: object, **kwargs: object) -> object:
            try:
                return super().__call__(*args, **kwargs)
            except TypeError as exc:
                if problem := problem_of_arguments(cls, f"{exc}", args):
                    raise ConstraintError(problem) from exc
                raise

    class ConstraintStruct(Struct, frozen=True, metaclass=_Checked):
        """A Struct that raises a `ConstraintError` for wrong arguments."""


def problem_of_arguments(cls: type[Any], message: str, args: Sequence[object]) -> str | None:
    """Describe wrong arguments of a constraint; `None` for another error.

    Args:
        cls: The class of the constraint.
        message: msgspec's message.
        args: The positional arguments.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> try:
        ...     ChoicesStrat("yes", "no")
        ... except ConstraintError as error:
        ...     print(error.message)
        ChoicesStrat takes (choices), not 2 arguments; the choices are one list: \
ChoicesStrat(['yes', 'no'])
    """
    name, fields = cls.__name__, list(cls.__struct_fields__)
    if message == _TOO_MANY:
        several = all(isinstance(arg, str) for arg in args) and fields == ["choices"]
        hint = f"; the choices are one list: {name}({list(args)!r:.60})" if several else ""
        return f"{name} takes ({', '.join(fields)}), not {len(args)} arguments{hint}"
    if found := _UNKNOWN.fullmatch(message):
        close = similar_names(found["name"], fields, cutoff=0.6)
        hint = did_you_mean(close, f"its arguments are: {', '.join(fields)}")
        return f"{name} has no argument {found['name']!r}{hint}"
    if found := _MISSING.fullmatch(message):
        return f"{name} needs its argument `{found['name']}`: {name}({', '.join(fields)})"
    return None
