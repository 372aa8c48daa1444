"""The rules of a grammar, by name, and rules that count optional entries."""

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema.budget import Budget
from concordance_sdk.constraints.schema.reachable import MAX_COUNTED
from concordance_sdk.constraints.schema.shapes import Conjunction

#: Maximum number of rules of a grammar.
_MAX_RULES = 20_000


class Rules:
    """Names the terminals and rules of a grammar.

    Attributes:
        terminals: Expression -> name.
        rules: Name -> expression.
    """

    def __init__(self, budget: Budget, separator: str) -> None:
        """Create an empty grammar; `separator` is the expression between two entries."""
        self._budget = budget
        self.terminals: dict[str, str] = {}
        self.rules: dict[str, str] = {}
        self._known_rules: dict[str, str] = {}  # expression -> name, except conjunctions
        self._names: dict[Conjunction, str] = {}
        self._item = self.terminal(separator)

    def name(self, conjunction: Conjunction) -> str:
        """Return the name of the rule of a conjunction."""
        return self._names.setdefault(conjunction, f"v{len(self._names)}")

    def terminal(self, expression: str) -> str:
        """Return the name of a terminal; equal expressions share one."""
        return self.terminals.setdefault(expression, f"T{len(self.terminals)}")

    def rule(self, expression: str) -> str:
        """Define a rule; equal expressions share a name."""
        name = self._known_rules.get(expression)
        if name is None:
            name = self._known_rules[expression] = f"r{len(self.rules)}"
            self.define(name, expression)
        return name

    def define(self, name: str, expression: str) -> None:
        """Define a rule by name.

        Raises:
            ConstraintError: The grammar has too many rules.
        """
        if len(self.rules) >= _MAX_RULES:
            raise ConstraintError(f"its grammar has more than {_MAX_RULES} rules; make it smaller")
        self._budget.spend()
        self.rules[name] = expression

    def chain(
        self,
        entries: list[tuple[str, bool]],
        others: str | None,
        least: int,
        most: int | None,
        *,
        separator: str | None = None,
    ) -> str:
        """Write entries in their order, each required or optional, followed by others.

        A state is the index of the next entry and the number of entries written so far. The count
        is capped at the largest value that the bounds distinguish. The states are computed from
        the last entry to the first, so each can reference its successors:

            entry i, `count` written --written--> entry i + 1, min(count + 1, cap)
                                     --skipped--> entry i + 1, count      (optional ones only)
        """
        item = self._item if separator is None else separator
        required = sum(is_required for _, is_required in entries)
        is_most = most is not None and (others is not None or most < len(entries))
        is_counted = least > required or is_most
        cap = max(least, most if most is not None and is_most else 1) if is_counted else 1
        cap = min(cap, max(len(entries), 1))
        if len(entries) * cap > MAX_COUNTED:
            raise ConstraintError(
                f"its objects or arrays count {len(entries)} optional members up to {cap}; leave "
                "out 'minProperties' and 'maxProperties', or 'minItems' and 'maxItems'"
            )
        least, most = (least, most if is_most else None) if is_counted else (0, None)
        states = {count: self._end(others, count, least, most) for count in range(cap + 1)}
        for text, is_required in reversed(entries):
            successors, states = states, {}
            for count in range(cap + 1):
                cases: list[str] = []
                following = successors[min(count + 1, cap)]
                if following is not None and (most is None or count < most):
                    before = f"{item} " if count else ""
                    cases.append(f"{before}{text} {following}".rstrip())
                skipped = None if is_required else successors[count]
                states[count] = self._state(cases, skipped)
        found = states[0]
        if found is None:
            word = "minProperties" if others else "minItems"
            raise ConstraintError(
                f"{word!r} {least} requires more different members than a grammar can "
                "distinguish; list the required ones in 'required'"
            )
        return found

    def _state(self, cases: list[str], skipped: str | None) -> str | None:
        """Return the rule of a state; empty if nothing has to follow, `None` if nothing can."""
        if not cases:
            return skipped
        if skipped is None:
            return self.rule(cases[0])
        return self.rule(f"({cases[0]})?" if not skipped else f"{cases[0]} | {skipped}")

    def _end(self, others: str | None, count: int, least: int, most: int | None) -> str | None:
        """Write what follows the last entry.

        Two of `others` may have the same key, so they count as one at most.
        """
        missing = max(least - count, 0)
        upper = None if most is None else most - count
        if others is None or upper == 0:
            return None if missing else ""
        if missing > 1 or (upper is not None and upper < missing):
            return None
        if count:
            return self.rule(f"({self._item} {others}){times(missing, upper)}")
        following = f"({self._item} {others}){times(0, None if upper is None else upper - 1)}"
        every = f"{others} {following}" if upper != 1 else others
        return self.rule(every if missing else f"({every})?")


def times(least: int, most: int | None) -> str:
    """Return a quantifier of rules."""
    if most is None and least <= 1:
        return "+" if least else "*"
    return f"{{{least},{'' if most is None else most}}}"
