"""Wrong arguments of a constraint's constructor."""

import copy

import msgspec
import pytest
from concordance_sdk.constraints import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    Grammar,
    JsonSchema,
    ListStrat,
    Regex,
    UntilStrat,
)
from concordance_shared import ConstraintError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ChoicesStrat("yes", "no"),
            "ChoicesStrat takes (choices), not 2 arguments; the choices are one list: "
            "ChoicesStrat(['yes', 'no'])",
        ),
        (lambda: ChoicesStrat(["a"], ["b"]), "ChoicesStrat takes (choices), not 2 arguments"),
        (ChoicesStrat, "ChoicesStrat needs its argument `choices`"),
        (lambda: ChoicesStrat(choice=["a"]), "no argument 'choice'; did you mean 'choices'?"),
        (Regex, "Regex needs its argument `pattern`: Regex(pattern)"),
        (lambda: Regex("a", "i"), "Regex takes (pattern), not 2 arguments"),
        (lambda: Regex(regex="a"), "Regex has no argument 'regex'; its arguments are: pattern"),
        (lambda: Grammar(grammar="a"), "; its arguments are: lark"),
        (lambda: CharsStrat(CharsMode.ALPHA), "CharsStrat needs its argument `stop`"),
        (lambda: CharsStrat(CharsMode.ALPHA, 3, max=4), "; its arguments are: mode, stop, min"),
        (lambda: JsonSchema({}, strict=True), "JsonSchema has no argument 'strict'"),
        (lambda: JsonSchema(anySpace=True), "did you mean 'any_space'?"),
        (
            lambda: ListStrat(Regex("a"), separator=","),
            "; its arguments are: elements, open, close",
        ),
        (lambda: UntilStrat(end_typ=1), "did you mean 'end_type' or 'end'?"),
    ],
)
def test_wrong_arguments_are_named_with_the_class_and_the_right_ones(make, message):
    with pytest.raises(ConstraintError) as refused:
        make()

    assert message in refused.value.message


def test_a_type_error_of_a_value_is_raised_unchanged():
    class Odd:
        def __iter__(self):
            raise TypeError("broken")

    with pytest.raises(TypeError, match="broken"):
        ChoicesStrat(Odd())


def test_constraints_remain_values():
    yes = ChoicesStrat(["yes"])

    assert copy.copy(yes) == yes == ChoicesStrat(choices=["yes"])
    assert {yes: 1}[ChoicesStrat(["yes"])] == 1
    assert msgspec.structs.replace(yes, choices=["no"]).choices == ("no",)
