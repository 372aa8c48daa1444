"""Constructors of strategies, whose fields can be changed until the answer starts.

Each can be converted to a strategy for a tokenizer (`into_strategy`), and to a constraint of
`concordance_sdk` (`constraint_of`), which costs the engine one mask per step.
"""

from typing import Any, Protocol, cast, runtime_checkable

from concordance_sdk import constraints
from concordance_sdk.constraints import CharsMode, Constraint, UntilEndType

from concordance_inference.mods.compat.quote_mod_sdk.attribute_repr import AttributeRepr
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
    """The protocol of constructors. Authors can write their own."""

    def into_strategy(self, tokenizer: Any) -> Any:
        """Build the strategy for a tokenizer."""
        ...


class ListStrat(AttributeRepr, StrategyConstructor):
    """A list of answers; a list of strategies is one answer each, without `min` and `max`."""

    def __init__(
        self,
        elements: Any,
        open: str | None = None,  # noqa: A002  # the signature of `quote_mod_sdk`
        close: str | None = None,
        wrap: str | None = None,
        sep: str | None = None,
        min: int | None = None,  # noqa: A002
        max: int | None = None,  # noqa: A002
        end_with: str | None = None,
    ) -> None:
        """Create the constructor; empty and 0 mean the default, which is `", "` for `sep`."""
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
        """Build the strategy for a tokenizer."""
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


class CharsStrat(AttributeRepr, StrategyConstructor):
    """Characters of one kind, up to a maximum number or a terminator."""

    def __init__(self, mode: CharsMode, stop: int | str, **options: Any) -> None:
        """Create the constructor; the option `min` is the minimum number of characters."""
        self.min: int | None = options.get("min") or None
        self.mode = mode
        self.stop = stop

    def into_strategy(self, tokenizer: Any) -> Strategy:
        """Build the strategy for a tokenizer."""
        del tokenizer
        return CharsStrategy(self.mode, self.stop, self.min or 0)


class UntilStrat(AttributeRepr, StrategyConstructor):
    """Any text up to an end, after a fixed start."""

    def __init__(
        self, start: str | None, end_type: UntilEndType = UntilEndType.NEWLINE, end: str = ""
    ) -> None:
        """Create the constructor."""
        self.start = start
        self.end_type = end_type
        self.end = end

    def into_strategy(self, tokenizer: Any) -> Strategy:
        """Build the strategy for a tokenizer."""
        del tokenizer
        return UntilStrategy(self.start, self.end_type, self.end)


class ChoicesStrat(AttributeRepr, StrategyConstructor):
    """One of several texts."""

    def __init__(self, choices: list[str]) -> None:
        """Create the constructor."""
        self.choices = choices

    def into_strategy(self, tokenizer: Any) -> Strategy:
        """Build the strategy for a tokenizer."""
        root = TrieNode()
        for choice in self.choices:
            if token_ids := tokenize_str(choice, tokenizer):
                root.insert(token_ids)
        return ChoicesStrategy(root)


def constraint_of(spec: Any) -> Constraint | None:
    """Convert a constructor to a constraint of `concordance_sdk`; `None` for an author's own.

    Raises:
        ConstraintError: The constraint allows no answer.
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
    """True if the author has not overridden `into_strategy`."""
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
