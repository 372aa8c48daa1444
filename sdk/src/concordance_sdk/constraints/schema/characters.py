r"""Sets of characters in the JSON encoding of a string.

Each character has one encoding: itself, or the shortest escape where JSON requires one. So a class
that excludes a character excludes every encoding of it, and a key can be written in one way only.

Validators disagree about `\s`, `\w`, `\d` and `.` beyond ASCII. Generated text uses only characters
that all of them include (narrow); exclusion covers characters that any of them includes (wide).
"""

import functools
import unicodedata

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema.ecma import Characters, Escape

#: Code points with a two-character escape in JSON, and its second character.
_SHORT = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}

#: Code points that must be escaped.
_ESCAPED = (*range(0x20), 34, 92)

#: Any one character, as a regular expression.
ANY_CHARACTER = r'(?:[^"\\\x00-\x1f]|\\["\\bfnrt]|\\u00(?:0[0-7bef]|1[0-9a-f]))'

_SPACE = r"\t\n\x0b\x0c\r \xa0\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}"
_CLASSES = {
    ("d", False): "0-9",
    ("d", True): r"\p{Nd}",
    ("w", False): "0-9A-Za-z_",
    ("w", True): r"\p{L}\p{M}\p{N}\p{Pc}\p{Alphabetic}\u{200c}\u{200d}",
    ("s", False): _SPACE,
    ("s", True): _SPACE + r"\x1c-\x1f\x85\u{feff}",
}
_DOT = {False: r"\n\r\u{2028}\u{2029}", True: r"\n"}

#: The general categories of Unicode, by short and long names.
_CATEGORIES = {
    "L": "L", "Letter": "L", "Lu": "Lu", "Uppercase_Letter": "Lu", "Ll": "Ll",
    "Lowercase_Letter": "Ll", "Lt": "Lt", "Titlecase_Letter": "Lt", "Lm": "Lm",
    "Modifier_Letter": "Lm", "Lo": "Lo", "Other_Letter": "Lo", "M": "M", "Mark": "M", "Mn": "Mn",
    "Nonspacing_Mark": "Mn", "Mc": "Mc", "Spacing_Mark": "Mc", "Me": "Me", "Enclosing_Mark": "Me",
    "N": "N", "Number": "N", "Nd": "Nd", "Decimal_Number": "Nd", "digit": "Nd", "Nl": "Nl",
    "Letter_Number": "Nl", "No": "No", "Other_Number": "No", "P": "P", "Punctuation": "P",
    "punct": "P", "Pc": "Pc", "Connector_Punctuation": "Pc", "Pd": "Pd", "Dash_Punctuation": "Pd",
    "Ps": "Ps", "Open_Punctuation": "Ps", "Pe": "Pe", "Close_Punctuation": "Pe", "Pi": "Pi",
    "Initial_Punctuation": "Pi", "Pf": "Pf", "Final_Punctuation": "Pf", "Po": "Po",
    "Other_Punctuation": "Po", "S": "S", "Symbol": "S", "Sm": "Sm", "Math_Symbol": "Sm",
    "Sc": "Sc", "Currency_Symbol": "Sc", "Sk": "Sk", "Modifier_Symbol": "Sk", "So": "So",
    "Other_Symbol": "So", "Z": "Z", "Separator": "Z", "Zs": "Zs", "Space_Separator": "Zs",
    "Zl": "Zl", "Line_Separator": "Zl", "Zp": "Zp", "Paragraph_Separator": "Zp", "Cc": "Cc",
    "Control": "Cc", "Cf": "Cf", "Format": "Cf", "Co": "Co", "Private_Use": "Co",
}  # fmt: skip
_PREFIXES = ("gc=", "General_Category=")
_SCRIPTS = ("sc=", "Script=", "scx=", "Script_Extensions=")
_ALPHABETIC = ("Alphabetic", "Alpha", "Uppercase", "Lowercase")


def is_exact(characters: Characters) -> bool:
    """True if all validators agree on the set."""
    escapes = (escape for escape in characters.escapes if not escape.name.startswith("p"))
    return not characters.is_dot and not any(escapes)


@functools.lru_cache(4096)
def spelled(characters: Characters, *, wide: bool) -> str:
    r"""Return a regular expression for the JSON encoding of one character of a set; may be empty.

    Examples:
        >>> from concordance_sdk.constraints.schema.ecma import parse
        >>> spelled(parse('[^"]'), wide=False)
        '(?:[[^\\x{22}]&&[^"\\\\\\x00-\\x1f]]|\\\\[\\\\bfnrt]|\\\\u00(?:0[0-7be-f]|1[0-9a-f]))'
    """
    plain = _plain(characters)
    if plain is not None:
        return plain
    body = _body(characters, wide=wide)
    spellings = [f'[[{body}]&&[^"\\\\\\x00-\\x1f]]'] if body else []
    codes = [code for code in _ESCAPED if contains(characters, code, wide=wide)]
    if short := "".join(
        sorted(_SHORT[code].replace("\\", "\\\\") for code in codes if code in _SHORT)
    ):
        spellings.append(f"\\\\[{short}]")
    if coded := _coded([code for code in codes if code not in _SHORT]):
        spellings.append(f"\\\\u00(?:{coded})")
    return f"(?:{'|'.join(spellings)})" if spellings else ""


def _plain(characters: Characters) -> str | None:
    """Handle a set of ranges with no escaped character; return `None` for any other set."""
    if characters.is_dot or characters.escapes or characters.is_negated or not characters.ranges:
        return None
    if any(first <= code <= last for first, last in characters.ranges for code in _ESCAPED):
        return None
    if _writable(characters) != list(characters.ranges):
        return None
    if characters.ranges[0][0] == characters.ranges[0][1] and len(characters.ranges) == 1:
        return _code(characters.ranges[0][0])
    return f"[{_ranges(characters)}]"


def _body(characters: Characters, *, wide: bool) -> str:
    """Return the inside of a class in llguidance's regular expression syntax."""
    if characters.is_dot:
        return "^" + _DOT[wide]
    inside = wide != characters.is_negated
    items = _ranges(characters)
    items += "".join(_escape(escape, wide=inside) for escape in characters.escapes)
    if characters.is_negated:
        return f"^{items}" if items else r"\x{0}-\x{10ffff}"
    return items


def _ranges(characters: Characters) -> str:
    return "".join(
        _code(first) if first == last else f"{_code(first)}-{_code(last)}"
        for first, last in _writable(characters)
    )


def _writable(characters: Characters) -> list[tuple[int, int]]:
    """Return the ranges without surrogates, which cannot be encoded in UTF-8."""
    below = ((first, min(last, 0xD7FF)) for first, last in characters.ranges)
    above = ((max(first, 0xE000), last) for first, last in characters.ranges)
    is_whole = [last < 0xD800 or first > 0xDFFF for first, last in characters.ranges]
    found: list[tuple[int, int]] = []
    for whole, *parts in zip(is_whole, characters.ranges, below, above, strict=True):
        kept = parts[:1] if whole else parts[1:]
        found += [(first, last) for first, last in kept if first <= last]
    return found


def _escape(escape: Escape, *, wide: bool) -> str:
    if escape.name.startswith("p"):
        return rf"\{'P' if escape.is_negated else 'p'}{{{_property(escape)}}}"
    body = _CLASSES[escape.name, wide != escape.is_negated]
    return f"[^{body}]" if escape.is_negated else f"[{body}]"


def _code(code: int) -> str:
    """Encode one character for a regular expression."""
    return chr(code) if chr(code).isalnum() and code < 128 else f"\\x{{{code:x}}}"


def _coded(codes: list[int]) -> str:
    r"""Return a regular expression for the last two digits of `\u00XX` escapes below 0x20."""
    return "|".join(
        f"{high}[{_digit_ranges(digits)}]"
        for high in (0, 1)
        if (digits := [code % 16 for code in codes if code // 16 == high])
    )


def _digit_ranges(digits: list[int]) -> str:
    """Return hexadecimal digits as the inside of a class."""
    runs: list[list[int]] = []
    for digit in digits:
        is_next = runs and digit == runs[-1][-1] + 1 and (digit < 10) == (runs[-1][-1] < 10)
        if is_next:
            runs[-1].append(digit)
        else:
            runs.append([digit])
    return "".join(f"{run[0]:x}-{run[-1]:x}" if len(run) > 1 else f"{run[0]:x}" for run in runs)


def contains(characters: Characters, code: int, *, wide: bool) -> bool:
    """True if a set contains an ASCII character.

    Raises:
        ConstraintError: A Unicode property is not supported.
    """
    if characters.is_dot:
        return code != 10 and (wide or code != 13)
    inside = wide != characters.is_negated
    found = any(first <= code <= last for first, last in characters.ranges) or any(
        _escape_contains(escape, code, wide=inside) for escape in characters.escapes
    )
    return found != characters.is_negated


def _escape_contains(escape: Escape, code: int, *, wide: bool) -> bool:
    character = chr(code)
    match escape.name:
        case "d":
            found = character.isdigit()
        case "w":
            found = character.isalnum() or character == "_"
        case "s":
            is_wide = wide != escape.is_negated
            found = character in "\t\n\v\f\r " or (is_wide and 0x1C <= code <= 0x1F)
        case _:
            found = _in_property(_property(escape), character)
    return found != escape.is_negated


def _property(escape: Escape) -> str:
    """Translate the name of a Unicode property for llguidance.

    Raises:
        ConstraintError: It is not supported.
    """
    name = escape.name[2:-1]
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    if name in _CATEGORIES:
        return _CATEGORIES[name]
    if name in _ALPHABETIC or name in ("Any", "ASCII"):
        return name
    if name.startswith(_SCRIPTS) and "Common" not in name and "Zyyy" not in name:
        return name
    raise ConstraintError(f"'\\p{{{name}}}' is no property that is supported; write its ranges")


def _in_property(name: str, character: str) -> bool:
    if name in _ALPHABETIC:
        return {"Uppercase": character.isupper(), "Lowercase": character.islower()}.get(
            name, character.isalpha()
        )
    if name.startswith(_SCRIPTS):
        return "Latin" in name and character.isalpha()
    return name in ("Any", "ASCII") or unicodedata.category(character).startswith(name)
