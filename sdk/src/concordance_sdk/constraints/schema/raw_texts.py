"""The strings of a schema as they are, without quotes and escapes, as terminal expressions."""

from concordance_sdk.constraints.grammar_builder import literal
from concordance_sdk.constraints.schema.shapes import Text
from concordance_sdk.constraints.schema.texts import content_of, is_writable

#: Strings that begin as another value of JSON does. The lexer would not decide between the two.
_LIKE_JSON = r"/[ \t\n\r]*(?:[-{\[0-9]|null|true|false|NaN|Infinity)(?s:.)*/"

#: Strings that are encoded in JSON as they are.
_UNESCAPED = r'/[^"\\\x00-\x1f]*/'

_ANYTHING = "/(?s:.)*/"


def raw_text(text: Text, *, is_mixed: bool) -> str:
    """Return the strings of a shape.

    Where a pattern applies, those without quotes, backslashes and control characters.

    Args:
        text: The shape.
        is_mixed: Exclude strings that begin as another value of JSON does.
    """
    parts = [_by_pattern(text) if text.patterns else _by_value(text)]
    if is_mixed:
        parts.append(f"~({_LIKE_JSON})")
    return " & ".join(parts)


def until(content: str, end: str, *, keeps_end: bool = False) -> str:
    """Return the texts of a content that do not contain an end.

    Args:
        content: A terminal expression.
        end: The expression of a literal.
        keeps_end: Add the end, of which no earlier occurrence may overlap it.
    """
    if keeps_end:
        ended = f"({content}) {end}"
        return f"({ended}) & ~({_ANYTHING} {end} /(?s:.)+/)"
    return f"({content}) & ~({_ANYTHING} {end} {_ANYTHING})"


def _by_pattern(text: Text) -> str:
    content = content_of(text)
    return '"\\u0000" & "a"' if content is None else f"({content}) & {_UNESCAPED}"


def _by_value(text: Text) -> str:
    if text.values is not None:
        values = [value for value in sorted(text.values) if is_writable(value)]
        every = f"({_either(values)})"
    elif (text.least, text.most) == (0, None):
        every = _ANYTHING
    else:
        every = f"/(?s:.){{{text.least},{'' if text.most is None else text.most}}}/"
    if not text.excluded:
        return every
    return f"{every} & ~({_either(sorted(text.excluded))})"


def _either(values: list[str]) -> str:
    written = [literal(value).expression if value else '""' for value in values]
    return " | ".join(written) or '"\\u0000"'
