"""The tokens of a completion in the terminal, coloured by where they came from."""

from rich.text import Text

from concordance_inference.trace import TokenTrace

STYLES = {"sampled": "", "forced": "bold green", "backtracked": "red strike"}


def transcript(trace: TokenTrace) -> Text:
    """The completion, with backtracked tokens struck out where they were."""
    return Text.assemble(*((token.text, STYLES[token.provenance]) for token in trace.tokens))
