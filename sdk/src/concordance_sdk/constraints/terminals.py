"""Expressions of terminals that several constraints write."""

from concordance_sdk.constraints.grammar_builder import (
    GrammarBuilder,
    Regular,
    literal,
    require_writable,
)


def character_class(characters: str) -> str:
    """The inside of a regular expression's character class that has these characters.

    Raises:
        ConstraintError: One is half of a surrogate pair.
    """
    require_writable(characters)
    return "".join(f"\\x{{{ord(character):x}}}" for character in characters)


def up_to_first(grammar: GrammarBuilder, content: str, end: str) -> Regular:
    """Text of some content and then an end, the first that makes it one.

    No text of it goes on: nothing that follows can be mistaken for more of it.

    Args:
        grammar: Where it is written.
        content: An expression of terminals.
        end: The text that ends it, not empty.
    """
    ended = grammar.terminal(f"{content} {literal(end).expression}")
    ended_before = grammar.terminal(f"{ended.expression} /(?s:.)+/")
    return grammar.terminal(f"{ended.expression} & ~{ended_before.expression}")
