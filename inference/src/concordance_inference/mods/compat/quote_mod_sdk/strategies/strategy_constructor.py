"""What an answer may be, as older authors write it. Fields can be changed until it is asked for.

Each becomes a strategy for a tokenizer (`into_strategy`), and a constraint of today's SDK
(`constraint_of`), which the engine enforces at a mask a step.
"""

from typing import Any, Protocol, cast, runtime_checkable

from concordance_sdk import constraints
from concordance_sdk.constraints import CharsMode, Constraint, UntilEndType

from concordance_inference.mods.compat.quote_mod_sdk.strategies.base import (
    Strategy,
    TrieNode,
    tokenize_str,
)
from concordance_inference.mods.compat.quote_mod_sdk.strategies.list_strategy import ListStrategy
from concordance_inference.mods.compat.quote_mod_sdk.strategies.primitives import (
    CharsStrategy,
    ChoicesStrategy,
    UntilStrategy,
)


@runtime_checkable
class StrategyConstructor(Protocol):
    """What becomes a strategy for a tokenizer. Authors write their own."""

    def into_strategy(self, tokenizer: Any) -> Any:
        """The strategy."""
        ...


class _Shown:
    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"


class ListStrat(_Shown, StrategyConstructor):
    """A list of answers; a list of strategies is one of each, whatever `min` and `max` say."""

    def __init__(  # as it was
        self,
        elements: Any,
        open: str | None = None,  # noqa: A002  # as it was
        close: str | None = None,
        wrap: str | None = None,
        sep: str | None = None,
        min: int | None = None,  # noqa: A002
        max: int | None = None,  # noqa: A002
        end_with: str | None = None,
    ) -> None:
        """Define a list; what is empty or 0 is as if left out, and `sep` is then `", "`."""
        self.open = open or None
        self.close = close or None
        self.wrap = wrap or None
        self.sep = sep or ", "
        self.min = min or None
        self.max = max or None
        self.end_with = end_with or None
        self.elements = elements
        if isinstance(elements, list):
            self.min = self.max = len(cast(list[Any], elements))

    def into_strategy(self, tokenizer: Any) -> Strategy:
        """The strategy of the list."""
        texts = {
            f"{name}_ids": tokenize_str(getattr(self, name), tokenizer)
            for name in ("open", "close", "wrap", "sep", "end_with")
        }
        elements: Any = self.elements
        if isinstance(elements, list | tuple):
            made: Any = [e.into_strategy(tokenizer) for e in cast(list[Any], elements)]
        else:
            made = elements.into_strategy(tokenizer)
        return ListStrategy(
            min_elements=self.min, max_elements=self.max or None, elements=made, **texts
        )


class CharsStrat(_Shown, StrategyConstructor):
    """Characters of one kind: at most so many, or until a text."""

    def __init__(self, mode: CharsMode, stop: int | str, **options: Any) -> None:
        """Define them; `min` is how many there are at least."""
        self.min: int | None = options.get("min") or None
        self.mode = mode
        self.stop = stop

    def into_strategy(self, tokenizer: Any) -> Strategy:
        """The strategy of the characters."""
        del tokenizer
        return CharsStrategy(self.mode, self.stop, self.min or 0)


class UntilStrat(_Shown, StrategyConstructor):
    """Any text up to an end, behind a start that is written first."""

    def __init__(
        self, start: str | None, end_type: UntilEndType = UntilEndType.NEWLINE, end: str = ""
    ) -> None:
        """Define it."""
        self.start = start
        self.end_type = end_type
        self.end = end

    def into_strategy(self, tokenizer: Any) -> Strategy:
        """The strategy of the text."""
        del tokenizer
        return UntilStrategy(self.start, self.end_type, self.end)


class ChoicesStrat(_Shown, StrategyConstructor):
    """One of several texts."""

    def __init__(self, choices: list[str]) -> None:
        """Define them."""
        self.choices = choices

    def into_strategy(self, tokenizer: Any) -> Strategy:
        """The strategy of the choices."""
        root = TrieNode()
        for choice in self.choices:
            if token_ids := tokenize_str(choice, tokenizer):
                root.insert(token_ids)
        return ChoicesStrategy(root)


def constraint_of(spec: Any) -> Constraint | None:
    """The constraint of today's SDK that a constructor stands for; `None` for an author's own.

    Raises:
        ConstraintError: There is no such answer.
    """
    if isinstance(spec, CharsStrat) and _is_ours(spec, CharsStrat):
        return constraints.CharsStrat(spec.mode, spec.stop, spec.min or None)
    if isinstance(spec, UntilStrat) and _is_ours(spec, UntilStrat):
        return constraints.UntilStrat(spec.start or "", spec.end_type, spec.end)
    if isinstance(spec, ChoicesStrat) and _is_ours(spec, ChoicesStrat):
        return constraints.ChoicesStrat(spec.choices)
    if isinstance(spec, ListStrat) and _is_ours(spec, ListStrat):
        return _list_of(spec)
    is_constraint = callable(getattr(spec, "write", None)) and not hasattr(spec, "into_strategy")
    return cast(Constraint, spec) if is_constraint else None


def _is_ours(spec: Any, base: type[Any]) -> bool:
    """Whether an author has not written what it becomes."""
    return type(spec).into_strategy is base.into_strategy


def _list_of(spec: ListStrat) -> Constraint | None:
    is_tuple = isinstance(spec.elements, list | tuple)
    each = cast(list[Any], spec.elements) if is_tuple else [spec.elements]
    made = [constraint_of(element) for element in each]
    if any(element is None for element in made):
        return None
    counts = {} if is_tuple else {"min": spec.min or None, "max": spec.max or None}
    return constraints.ListStrat(
        cast(Any, made if is_tuple else made[0]),
        spec.open,
        spec.close,
        spec.wrap,
        spec.sep,
        end_with=spec.end_with,
        **counts,
    )


__all__ = [
    "CharsMode",
    "CharsStrat",
    "ChoicesStrat",
    "ListStrat",
    "StrategyConstructor",
    "UntilEndType",
    "UntilStrat",
    "constraint_of",
]
