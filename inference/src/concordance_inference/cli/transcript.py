"""The tokens of a completion as text, marked by where they came from."""

from itertools import groupby

from rich.text import Text

from concordance_inference.trace import TokenTrace, TracedToken

STYLES = {"sampled": "", "forced": "bold green", "backtracked": "red strike"}

#: Where there is no colour: the marks before and after a run of tokens, as of `git diff`.
MARKS = {"sampled": ("", ""), "forced": ("{+", "+}"), "backtracked": ("[-", "-]")}


def transcript(trace: TokenTrace) -> Text:
    """The completion in colour, with backtracked tokens struck out where they were."""
    return Text.assemble(*((token.text, STYLES[token.provenance]) for token in trace.tokens))


def marked(trace: TokenTrace) -> str:
    """The completion for a pipe: `in[- Paris-]{+ Lyon+}.`, with ` Lyon` forced."""
    pieces: list[str] = []
    for provenance, tokens in groupby(trace.tokens, _provenance):
        before, after = MARKS[provenance]
        text = "".join(token.text for token in tokens)
        pieces.append(f"{before}{text}{after}" if text else "")
    return "".join(pieces)


def _provenance(token: TracedToken) -> str:
    return token.provenance
