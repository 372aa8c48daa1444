"""Constraints on the completion, enforced token by token.

    from concordance_sdk.constraints import ChoicesStrat, constrain

    verdict = constrain(ChoicesStrat(["guilty", "not guilty"]), name="verdict")

Each constraint compiles to a llguidance grammar, which computes the allowed and the forced tokens
of every position. There are three levels:

- a mod: `constrain(constraint)` returns a mod that constrains a completion;
- a part of a mod: `Constrained(constraint)` constrains a span of a completion, in a class mod;
- a matcher: `compile_constraint(constraint, tokenizer).start()` returns masks and forced tokens,
  without a request.
"""

from concordance_sdk.constraints.chars import CharsMode, CharsStrat
from concordance_sdk.constraints.choices import ChoicesStrat
from concordance_sdk.constraints.compiled import CompiledConstraint, compile_constraint
from concordance_sdk.constraints.constrained import Constrained, constrain
from concordance_sdk.constraints.constraint import Constraint
from concordance_sdk.constraints.grammar import Grammar
from concordance_sdk.constraints.json_schema import JsonSchema
from concordance_sdk.constraints.lists import ListStrat
from concordance_sdk.constraints.matcher import Matcher
from concordance_sdk.constraints.regex import Regex
from concordance_sdk.constraints.until import UntilEndType, UntilStrat
from concordance_sdk.constraints.validation import allows

__all__ = [
    "CharsMode",
    "CharsStrat",
    "ChoicesStrat",
    "CompiledConstraint",
    "Constrained",
    "Constraint",
    "Grammar",
    "JsonSchema",
    "ListStrat",
    "Matcher",
    "Regex",
    "UntilEndType",
    "UntilStrat",
    "allows",
    "compile_constraint",
    "constrain",
]
