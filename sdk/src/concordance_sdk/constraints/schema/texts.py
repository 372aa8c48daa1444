"""The strings of a schema, as terminal expressions."""

import functools
import json

from concordance_shared import ConstraintError

from concordance_sdk.constraints.byte_grammar import NO_TEXT, fault_of, is_text_of
from concordance_sdk.constraints.grammar_builder import literal
from concordance_sdk.constraints.schema.characters import ANY_CHARACTER
from concordance_sdk.constraints.schema.patterns import compile_pattern
from concordance_sdk.constraints.schema.shapes import Text

#: An encoded quote.
_QUOTE = '"\\""'


def spelled_text(text: str) -> str:
    r"""Encode a string as JSON, each character in its canonical encoding.

    Examples:
        >>> spelled_text('a"\n\x01é')
        '"a\\"\\n\\u0001é"'
    """
    return json.dumps(text, ensure_ascii=False)


def expression_of(text: Text) -> str | None:
    """Return the strings of a shape, with quotes; `None` if there clearly are none.

    Raises:
        ConstraintError: A pattern cannot be expressed.
    """
    content = content_of(text)
    return None if content is None else f"{_QUOTE} ({content}) {_QUOTE}"


def content_of(text: Text) -> str | None:
    """Return the strings of a shape, without quotes; `None` if there clearly are none.

    Raises:
        ConstraintError: A pattern cannot be expressed.
    """
    every = _universe(text)
    if every is None:
        return None
    parts = [every]
    for pattern, must_match in sorted(text.patterns):
        found = compile_pattern(pattern, wide=not must_match).expression
        if found is None and must_match:
            return None
        if found is not None:
            parts.append(f"({found})" if must_match else f"~({found})")
    if text.excluded:
        parts.append(f"~({_either(sorted(text.excluded))})")
    return " & ".join(parts)


def _universe(text: Text) -> str | None:
    """Return the strings of a shape, regardless of its patterns."""
    if text.values is not None:
        values = [value for value in sorted(text.values) if is_writable(value)]
        return f"({_either(values)})" if values else None
    if (text.least, text.most) == (0, None):
        return f"/{ANY_CHARACTER}*/"
    return f"/{ANY_CHARACTER}{{{text.least},{'' if text.most is None else text.most}}}/"


def _either(values: list[str]) -> str:
    return " | ".join(_literal(value) for value in values if is_writable(value)) or '"\\u0000"'


def _literal(value: str) -> str:
    inside = spelled_text(value)[1:-1]
    return literal(inside).expression if inside else '""'


def is_writable(value: str) -> bool:
    """True if a string can be encoded as UTF-8: it contains no surrogates."""
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in value)


def has_texts(text: Text) -> bool:
    """True unless a shape certainly has no strings; one too large to compile may have some."""
    return fault_in(text) != NO_TEXT


def fault_in(text: Text) -> str:
    """Return why a shape cannot be written: no strings, or too large; empty if it can."""
    if not text.patterns and text.values is None:
        return ""
    expression = expression_of(text)
    return NO_TEXT if expression is None else fault_of(grammar_of(expression))


def require_usable(pattern: str | None) -> None:
    """Reject the expression of a pattern that llguidance cannot compile.

    Raises:
        ConstraintError: It is nested too deep, or its automaton is too large.
    """
    fault = "" if pattern is None else fault_of(grammar_of(pattern))
    if fault and fault != NO_TEXT:
        raise ConstraintError("its automaton is too large, or nested too deep; shorten it")


def has_text(text: Text, value: str) -> bool:
    """True if a shape contains a string."""
    if value in text.excluded or (text.values is not None and value not in text.values):
        return False
    if len(value) < text.least or (text.most is not None and len(value) > text.most):
        return False
    return all(
        is_found(pattern, value, wide=not must_match) == must_match
        for pattern, must_match in text.patterns
    )


@functools.lru_cache(4096)
def is_found(pattern: str, text: str, *, wide: bool = False) -> bool:
    """True if a pattern matches anywhere in a string.

    Args:
        pattern: The pattern.
        text: The string.
        wide: Use the union of the interpretations of all validators, not their intersection.

    Raises:
        ConstraintError: The pattern cannot be expressed.
    """
    found = compile_pattern(pattern, wide=wide).expression
    return found is not None and is_text_of(grammar_of(found), spelled_text(text)[1:-1])


def may_match(pattern: str, text: str, *, must_match: bool) -> bool:
    """True if, for some validator, a pattern matches a string as required: found, or not found."""
    return is_found(pattern, text, wide=must_match) == must_match


def grammar_of(terminal: str) -> str:
    """Return the grammar of one terminal."""
    return json.dumps({"grammars": [{"lark_grammar": f"start: T\nT: {terminal}"}]})
