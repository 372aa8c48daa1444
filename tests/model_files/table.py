"""The outcomes of all model files: a file, and a table in the docs."""

import re
from collections.abc import Mapping
from pathlib import Path

import mlx_lm
import msgspec

from model_files.outcome import Outcome, Verdict

OUTCOMES = Path(__file__).parent / "outcomes.jsonl"
PAGE = Path(__file__).parent.parent.parent / "docs" / "model-files.md"

_GENERATED = re.compile(r"(<!-- model-files:[^>]*-->\n).*?(<!-- /model-files -->)", re.DOTALL)
_IN_WORDS = {
    "padded": "any rows",
    "ragged": "rows that process equal numbers of tokens",
    "equal": "rows with equal cache lengths that process equal numbers of tokens",
    "alone": "none",
}


#: Explanations of differences, from reading mlx-lm's files.
_EXPLAINED = {
    "bitnet": "compared with plain linear layers in place of its Metal kernels",
    "gemma2": (
        "its attention broadcasts a mask of several rows over the wrong axis, so mlx-lm's own "
        "batches of different lengths are wrong"
    ),
    "gemma3n": "without a cache, layers that share keys and values compute their own",
    "olmo": "needs the package ai2-olmo, and ends the process without it",
    "phi3small": "adds its boolean mask to attention scores: positions attend to later ones",
    "plamo3": "its cache keeps one position less than it masks with",
}


class _Header(msgspec.Struct, frozen=True):
    """The first line of the outcomes file."""

    mlx_lm: str


def read_outcomes() -> dict[str, Outcome]:
    """Return model file -> outcome for the installed mlx-lm."""
    if not OUTCOMES.exists():
        return {}
    header, *lines = OUTCOMES.read_text().splitlines()
    if msgspec.json.decode(header, type=_Header).mlx_lm != mlx_lm.__version__:
        return {}
    outcomes = (msgspec.json.decode(line, type=Outcome) for line in lines)
    return {outcome.name: outcome for outcome in outcomes}


def save_outcomes(outcomes: Mapping[str, Outcome]) -> None:
    """Write all outcomes, sorted by name."""
    lines = [_Header(mlx_lm.__version__), *(outcomes[name] for name in sorted(outcomes))]
    OUTCOMES.write_text("".join(msgspec.json.encode(line).decode() + "\n" for line in lines))


def generated(outcomes: Mapping[str, Outcome]) -> str:
    """Return the generated part of the page, in Markdown."""
    models = [o for _, o in sorted(outcomes.items()) if o.verdict is not Verdict.NOT_A_MODEL]
    counts = {verdict: sum(o.verdict is verdict for o in models) for verdict in Verdict}
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    lines = [
        f"mlx-lm {mlx_lm.__version__}: {len(models)} model files; {counted}.",
        "",
        "| model file | verdict | what can share a forward pass | note |",
        "|---|---|---|---|",
        *(
            f"| `{o.name}` | {o.verdict} | {_IN_WORDS.get(o.sharing, '')} | {_note(o)} |"
            for o in models
        ),
    ]
    return "\n".join(lines) + "\n"


def _note(outcome: Outcome) -> str:
    notes = [_EXPLAINED.get(outcome.name), outcome.note, outcome.why]
    return "; ".join(note for note in notes if note).replace("|", "\\|").replace("<", "&lt;")


def with_generated(page: str, outcomes: Mapping[str, Outcome]) -> str:
    """Replace the generated part of a page."""
    return _GENERATED.sub(lambda found: found[1] + generated(outcomes) + found[2], page)


def write_page(outcomes: Mapping[str, Outcome]) -> None:
    """Write the generated part into the page."""
    PAGE.write_text(with_generated(PAGE.read_text(), outcomes))
