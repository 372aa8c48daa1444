"""Sets of numbers, and the decimals that are written for them.

A written decimal has at most 15 significant digits. A validator that parses it as a double then
compares it with a bound as one that parses it exactly, and no bound is reached by rounding.
"""

import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction

from concordance_shared import ConstraintError
from msgspec import Struct

#: Decimals of this many significant digits keep their order as doubles.
_DIGITS = 15
_LARGEST = Decimal(10**_DIGITS - 1)

#: Maximum prime-to-10 factor of multiples.
_MAX_FACTOR = 1000

#: Maximum number of endings by which multiples of powers of 2 and 5 are recognized.
_MAX_ENDINGS = 256

#: Maximum number of digits of a bound, before or after the decimal point.
_MAX_SPAN = 400


class Interval(Struct, frozen=True):
    """Numbers between two bounds; optionally only integers, or only multiples."""

    low: Decimal | None = None
    high: Decimal | None = None
    is_low_open: bool = False
    is_high_open: bool = False
    is_integer: bool = False
    multiple: Fraction | None = None

    @property
    def point(self) -> Decimal | None:
        """The only number in the interval, or `None` if there are more."""
        return self.low if self.low is not None and self.low == self.high else None


def intersect_intervals(one: Interval, other: Interval) -> Interval | None:
    """Intersect two intervals; `None` if the result is clearly empty."""
    low = _inner((one.low, one.is_low_open), (other.low, other.is_low_open), sign=1)
    high = _inner((one.high, one.is_high_open), (other.high, other.is_high_open), sign=-1)
    multiple = _common(one.multiple, other.multiple)
    is_integer = one.is_integer or other.is_integer
    return checked(Interval(low[0], high[0], low[1], high[1], is_integer, multiple))


def checked(interval: Interval) -> Interval | None:
    """Normalize an interval: bounds of integers are closed; `None` if it is empty."""
    if interval.is_integer:
        interval = _whole_bounds(interval)
    low, high = interval.low, interval.high
    if low is not None and high is not None:
        if low > high or (low == high and (interval.is_low_open or interval.is_high_open)):
            return None
        if low == high and not _is_multiple(low, interval):
            return None
    return interval


def _is_multiple(number: Decimal, interval: Interval) -> bool:
    exact = Fraction(number)
    if interval.is_integer and exact.denominator != 1:
        return False
    return interval.multiple is None or (exact / interval.multiple).denominator == 1


def _whole_bounds(interval: Interval) -> Interval:
    low, high = interval.low, interval.high
    if low is not None:
        whole = math.floor(low) + 1 if interval.is_low_open else math.ceil(low)
        low = Decimal(whole)
    if high is not None:
        whole = math.ceil(high) - 1 if interval.is_high_open else math.floor(high)
        high = Decimal(whole)
    return Interval(low, high, is_integer=True, multiple=interval.multiple)


def _inner(
    one: tuple[Decimal | None, bool], other: tuple[Decimal | None, bool], *, sign: int
) -> tuple[Decimal | None, bool]:
    """Return the tighter of two bounds, each with True if it is open.

    Args:
        one: The first bound.
        other: The second bound.
        sign: 1 for lower bounds, -1 for upper ones.
    """
    if one[0] is None or other[0] is None:
        return other if one[0] is None else one
    if one[0] == other[0]:
        return one[0], one[1] or other[1]
    return one if (one[0] - other[0]) * sign > 0 else other


def _common(one: Fraction | None, other: Fraction | None) -> Fraction | None:
    """Return the least common multiple."""
    if one is None or other is None:
        return other if one is None else one
    numerator = math.lcm(one.numerator * other.denominator, other.numerator * one.denominator)
    return Fraction(numerator, one.denominator * other.denominator)


def outside(interval: Interval) -> Iterator[Interval]:
    """Yield the numbers below and above an interval."""
    if interval.low is not None:
        yield Interval(high=interval.low, is_high_open=not interval.is_low_open)
    if interval.high is not None:
        yield Interval(low=interval.high, is_low_open=not interval.is_high_open)


def expression(interval: Interval) -> str | None:
    r"""Return the decimals of an interval as a terminal expression; `None` if there are none.

    Multiples that only llguidance's own arithmetic can express begin with `%json`, which is a rule.

    Raises:
        ConstraintError: Its bounds or multiples are too large.

    Examples:
        >>> expression(Interval(Decimal(0), Decimal(9), is_integer=True))
        '((/0|[1-9][0-9]{0,14}/) & ~(/[1-9][0-9]{1,}(?:\\.[0-9]+)?|9\\.[0-9]*[1-9][0-9]*/))'
    """
    for bound in (interval.low, interval.high):
        if bound is not None and abs(bound.adjusted()) > _MAX_SPAN:
            raise ConstraintError(f"the bound {bound:.3e} has too many digits to be written")
    if interval.point is not None:
        return _literal(interval.point)
    if interval.multiple is not None and not _has_endings(interval.multiple):
        return _arithmetic(interval)
    signs = (_signed(part, interval) for part in _halves(interval))
    found = [sign for sign in signs if sign is not None]
    return " | ".join(found) if found else None


def _literal(number: Decimal) -> str:
    text = f"{number:f}" if abs(number.adjusted()) < 25 else str(number)
    return f'"{text}"'


class _Half(Struct, frozen=True):
    """Numbers of one sign, by magnitude."""

    is_negative: bool
    low: tuple[Decimal, bool]  # True if it is open
    high: tuple[Decimal | None, bool]


def _halves(interval: Interval) -> Iterator[_Half]:
    """Split an interval into negative numbers and numbers of at least zero; there is no `-0`."""
    low, high = interval.low, interval.high
    zero = Decimal(0)
    if high is None or high > 0 or (high == 0 and not interval.is_high_open):
        least = (low, interval.is_low_open) if low is not None and low >= 0 else (zero, False)
        yield _Half(is_negative=False, low=least, high=(high, interval.is_high_open))
    if low is None or low < 0:
        is_below = high is not None and high < 0
        least = (-high, interval.is_high_open) if is_below and high is not None else (zero, True)
        most = None if low is None else -low
        yield _Half(is_negative=True, low=least, high=(most, interval.is_low_open))


def _signed(half: _Half, interval: Interval) -> str | None:
    low, is_low_open = _rounded(*half.low, up=True)
    high, is_high_open = half.high
    if high is not None:
        high, is_high_open = _rounded(high, is_high_open, up=False)
        if low > high or (low == high and (is_low_open or is_high_open)):
            return None
    expression = _base(low, high, interval)
    parts = [f"({part})" for part in [expression, *_endings(interval.multiple)]]
    if low or is_low_open:
        parts.append(f"({_above(low, is_open=is_low_open)})")
    if high is not None:
        parts.append(f"~({_above(high, is_open=not is_high_open)})")
    body = f"({' & '.join(parts)})"
    if half.is_negative:
        body = f'"-" {body}'
    if _is_free(interval):
        body = f"{body} /(?:[eE][-+]?[0-9]{{1,2}})?/"
    return f"({body})" if half.is_negative or _is_free(interval) else body


def _is_free(interval: Interval) -> bool:
    """True if all numbers are allowed, so that an exponent cannot exceed a bound."""
    return interval == Interval()


def _rounded(bound: Decimal, is_open: bool, *, up: bool) -> tuple[Decimal, bool]:  # noqa: FBT001
    """Round a bound to few enough digits, inwards, also if it is parsed as a double."""
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    rounded = Context(prec=_DIGITS, rounding=rounding).plus(bound)
    if rounded == bound:
        return rounded, is_open
    return rounded, is_open and float(rounded) == float(bound)


def _base(low: Decimal, high: Decimal | None, interval: Interval) -> str:
    """Return unsigned decimals with few enough digits."""
    size = max(_DIGITS, low.adjusted() + 2)
    if interval.is_integer:
        return f"/0|[1-9][0-9]{{0,{size - 1}}}/"
    spans = [-bound.adjusted() for bound in (low, high) if bound is not None and bound]
    zeros = max([_DIGITS, *(span + 1 for span in spans)])
    small = f"/0(?:\\.0{{1,3}}|\\.0{{0,{zeros}}}[1-9][0-9]{{0,{_DIGITS - 1}}})?/"
    whole = f"/[1-9][0-9]{{0,{_DIGITS - 1}}}0{{0,{size - _DIGITS}}}/"
    if size > _DIGITS:
        return f"{small} | {whole}"
    return f"{small} | {whole} | (/[1-9][0-9]*\\.[0-9]+/ & /[0-9.]{{1,{_DIGITS + 1}}}/)"


def _above(bound: Decimal, *, is_open: bool) -> str:
    r"""Return a regular expression for the decimals of at least, or above, a bound.

    For 25.4: more digits before the point (`[1-9][0-9]{2,}`), a larger digit after a common prefix
    (`[3-9][0-9]`, `2[6-9]`, `25\.[5-9][0-9]*`), or the bound itself and more digits.
    """
    digits = f"{bound:f}"
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    cases = [f"[1-9][0-9]{{{len(whole)},}}(?:\\.[0-9]+)?"]
    cases += [
        f"{whole[:i]}{above}[0-9]{{{len(whole) - i - 1}}}(?:\\.[0-9]+)?"
        for i, digit in enumerate(whole)
        if (above := _larger(digit))
    ]
    cases += [
        f"{whole}\\.{fraction[:i]}{above}[0-9]*"
        for i, digit in enumerate(fraction)
        if (above := _larger(digit))
    ]
    cases.append(_equal_or_above(whole, fraction, is_open=is_open))
    return f"/{'|'.join(cases)}/"


def _equal_or_above(whole: str, fraction: str, *, is_open: bool) -> str:
    """Return decimals that begin with the digits of a bound."""
    if is_open:
        return f"{whole}\\.{fraction}[0-9]*[1-9][0-9]*"
    return f"{whole}\\.{fraction}[0-9]*" if fraction else f"{whole}(?:\\.[0-9]+)?"


def _larger(digit: str) -> str:
    return "" if digit == "9" else f"[{int(digit) + 1}-9]"


def _has_endings(multiple: Fraction) -> bool:
    """True if multiples can be recognized by their last digits."""
    found = _ending_size(multiple)
    if found is None:
        return False
    scale, size, unit = found
    return scale <= _MAX_SPAN and 10**size // unit <= _MAX_ENDINGS


def _ending_size(multiple: Fraction) -> tuple[int, int, int] | None:
    """Return the number of decimal places, the number of last digits that decide, and their unit.

    `None` if the last digits do not decide. For 0.25: (2, 2, 25), since a number with two decimal
    places is a multiple if its last two digits are a multiple of 25.
    """
    twos, denominator = _factors(multiple.denominator, 2)
    fives, denominator = _factors(denominator, 5)
    if denominator != 1:
        return None
    scale = max(twos, fives)
    unit = multiple.numerator * 10**scale // multiple.denominator
    twos, rest = _factors(unit, 2)
    fives, rest = _factors(rest, 5)
    return (scale, max(twos, fives), unit) if rest == 1 else None


def _factors(number: int, factor: int) -> tuple[int, int]:
    """Return the multiplicity of a factor, and the quotient."""
    count = 0
    while number % factor == 0:
        number, count = number // factor, count + 1
    return count, number


def _endings(multiple: Fraction | None) -> list[str]:
    """Return a regular expression for multiples by their last digits, in a list; may be empty."""
    if multiple is None:
        return []
    found = _ending_size(multiple)
    assert found is not None
    scale, size, unit = found
    endings = [f"{ending:0{size}d}" for ending in range(0, 10**size, unit)] if size else [""]
    if size > scale:
        cases = {case for ending in endings for case in _with_whole(ending, scale)}
    else:
        cases = {_in_fraction(ending, scale - size) for ending in endings}
    return [f"/{'|'.join(sorted(cases))}/"]


def _in_fraction(ending: str, free: int) -> str:
    """Match decimals whose last digits, all after the point, are `ending`; zeros may be omitted."""
    trimmed = ending.rstrip("0")
    if trimmed:
        return f"[0-9]+\\.[0-9]{{{free}}}{trimmed}0*"
    return f"[0-9]+(?:\\.[0-9]{{1,{free}}}0*)?" if free else "[0-9]+(?:\\.0+)?"


def _with_whole(ending: str, scale: int) -> Iterator[str]:
    """Match decimals whose last digits, on both sides of the point, are `ending`.

    Numbers with fewer digits match as if padded with leading zeros.
    """
    whole, fraction = ending[: len(ending) - scale], ending[len(ending) - scale :].rstrip("0")
    for prefix in {f"[0-9]*{whole}", whole.lstrip("0") or "0"}:
        yield f"{prefix}\\.{fraction}0*" if fraction else f"{prefix}(?:\\.0+)?"


def _arithmetic(interval: Interval) -> str | None:
    """Return multiples that only llguidance's arithmetic can express, between closed bounds."""
    multiple = interval.multiple
    assert multiple is not None
    factor = multiple.numerator
    scale = _scale_of(multiple.denominator)
    if scale is None or factor > _MAX_FACTOR:
        number = float(multiple)
        raise ConstraintError(
            f"'multipleOf' {number:g} needs too large an automaton: beside powers of 2 and 5, "
            f"factors up to {_MAX_FACTOR} can be enforced"
        )
    if interval.is_integer and multiple.denominator != 1:
        multiple = Fraction(multiple.numerator)
    low, high = _closed_bounds(interval, multiple)
    if low > high:
        return None
    if low == high:
        return f'"{float(low):.15g}"'
    kind = "integer" if multiple.denominator == 1 else "number"
    return (
        f'%json {{"type": "{kind}", "multipleOf": {_decimal(multiple)}, '
        f'"minimum": {_decimal(low)}, "maximum": {_decimal(high)}}}'
    )


def _scale_of(denominator: int) -> int | None:
    twos, rest = _factors(denominator, 2)
    fives, rest = _factors(rest, 5)
    return max(twos, fives) if rest == 1 else None


def _closed_bounds(interval: Interval, multiple: Fraction) -> tuple[Fraction, Fraction]:
    """Return the first and the last multiple in an interval."""
    low = Fraction(-_LARGEST if interval.low is None else max(interval.low, -_LARGEST))
    high = Fraction(_LARGEST if interval.high is None else min(interval.high, _LARGEST))
    first, last = math.ceil(low / multiple), math.floor(high / multiple)
    if interval.low is not None and interval.is_low_open and first * multiple == low:
        first += 1
    if interval.high is not None and interval.is_high_open and last * multiple == high:
        last -= 1
    return first * multiple, last * multiple


def _decimal(number: Fraction) -> str:
    text = f"{Decimal(number.numerator) / Decimal(number.denominator):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
