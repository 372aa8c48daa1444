"""Texts of a schema, as expressions of terminals."""

import functools
import json

from concordance_shared import ConstraintError

from concordance_sdk.constraints.byte_grammar import NO_TEXT, fault_of, is_text_of
from concordance_sdk.constraints.grammar_builder import literal
from concordance_sdk.constraints.schema.characters import ANY_CHARACTER
from concordance_sdk.constraints.schema.patterns import compile_pattern
from concordance_sdk.constraints.schema.shapes import Text

#: Escapes of JSON that are written by the code of a character, in our spelling.
_QUOTE = '"\\""'


def spelled_text(text: str) -> str:
    r"""A text as JSON spells it, each character in the one way in which it is written.

    Examples:
        >>> spelled_text('a"\n\x01é')
        '"a\\"\\n\\u0001é"'
    """
    return json.dumps(text, ensure_ascii=False)


def expression_of(text: Text) -> str | None:
    """The texts of a shape, with their quotes; `None` if there clearly are none.

    Raises:
        ConstraintError: A pattern cannot be said.
    """
    content = _content(text)
    return None if content is None else f"{_QUOTE} ({content}) {_QUOTE}"


def _content(text: Text) -> str | None:
    every = _universe(text)
    if every is None:
        return None
    parts = [every]
    for pattern, is_sought in sorted(text.patterns):
        found = compile_pattern(pattern, wide=not is_sought).expression
        if found is None and is_sought:
            return None
        if found is not None:
            parts.append(f"({found})" if is_sought else f"~({found})")
    if text.excluded:
        parts.append(f"~({_either(sorted(text.excluded))})")
    return " & ".join(parts)


def _universe(text: Text) -> str | None:
    """The texts but for patterns."""
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
    """Whether a text can be written in UTF-8: it has no half of a surrogate pair."""
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in value)


def has_texts(text: Text) -> bool:
    """Whether a shape has texts. One that is too large to be tried may have some."""
    return fault_in(text) != NO_TEXT


def fault_in(text: Text) -> str:
    """Why a shape cannot be written: it has no texts, or is too large; empty if it can be."""
    if not text.patterns and text.values is None:
        return ""
    expression = expression_of(text)
    return NO_TEXT if expression is None else fault_of(grammar_of(expression))


def require_usable(pattern: str | None) -> None:
    """Refuse the expression of a pattern that llguidance cannot use.

    Raises:
        ConstraintError: It is nested too deep, or its automaton is too large.
    """
    fault = "" if pattern is None else fault_of(grammar_of(pattern))
    if fault and fault != NO_TEXT:
        raise ConstraintError("its automaton is too large, or nested too deep; say it shorter")


def has_text(text: Text, value: str) -> bool:
    """Whether a shape has a text."""
    if value in text.excluded or (text.values is not None and value not in text.values):
        return False
    if len(value) < text.least or (text.most is not None and len(value) > text.most):
        return False
    return all(
        is_found(pattern, value, wide=not is_sought) == is_sought
        for pattern, is_sought in text.patterns
    )


@functools.lru_cache(4096)
def is_found(pattern: str, text: str, *, wide: bool = False) -> bool:
    """Whether a pattern is found in a text.

    Args:
        pattern: The pattern.
        text: The text.
        wide: By what any validator means by the pattern, not only by what all mean.

    Raises:
        ConstraintError: The pattern cannot be said.
    """
    found = compile_pattern(pattern, wide=wide).expression
    return found is not None and is_text_of(grammar_of(found), spelled_text(text)[1:-1])


def may_be(pattern: str, text: str, *, is_sought: bool) -> bool:
    """Whether a validator may find a pattern in a text, or may not find it."""
    return is_found(pattern, text, wide=is_sought) == is_sought


def grammar_of(terminal: str) -> str:
    """The grammar of one terminal."""
    return json.dumps({"grammars": [{"lark_grammar": f"start: T\nT: {terminal}"}]})
