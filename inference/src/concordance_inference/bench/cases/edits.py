"""Forcing and backtracking: their cost against prefill and plain decoding."""

import statistics
from collections.abc import Iterator

from concordance_inference.bench import drive
from concordance_inference.bench.drive import BacktrackCost, Subject
from concordance_inference.bench.figures import Effort, Figure, alternate, compared

#: Tokens of one backtrack.
_NUM_TOKENS = 16

#: Context length of the baseline, in tokens.
_SHORT = 200

#: Usual token times that are added to both sides of the ratio.
_PLUS_TOKENS = 2


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Measure forcing, then backtracking."""
    yield _forcing(subject, effort)
    yield from _backtracking(subject, effort)


def _forcing(subject: Subject, effort: Effort) -> Figure:
    """Measure forced tokens against a prompt of equal length, until the next token is sampled."""
    prompt, forced = subject.prompt(8), subject.prompt(effort.prefill_tokens, seed=1)
    engine = subject.engine()
    prefill, forcing = alternate(
        [
            lambda: len(forced) / drive.prefill_seconds(engine, forced),
            lambda: len(forced) / drive.force_seconds(engine, prompt, forced),
        ],
        rounds=effort.rounds,
    )
    return compared(
        f"forcing {len(forced)} tokens, against prefilling them as a prompt",
        subject.name,
        "tokens/s",
        forcing,
        prefill,
        target=0.85 if subject.name == "tiny" else 0.90,
    )


def _backtracking(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Measure by how much a backtrack delays the next tokens, by context length.

    The delays are near zero or negative, since logits of earlier positions are kept and need no
    pass, so that their own ratio is noise. The ratio has the time of `_PLUS_TOKENS` usual tokens
    added on both sides: 10 ms a token and delays of 1 and -1 ms give 21 / 19, not 1 / -1.
    """
    contexts = [c for c in (_SHORT, 2000, 4000) if c < subject.traits.context_length]
    engine = subject.engine(prefix_bytes=None)
    costs: dict[int, list[BacktrackCost]] = {context: [] for context in contexts}
    for _ in range(max(2, effort.rounds // 2)):
        for context in contexts:
            prompt = subject.prompt(context - _NUM_TOKENS)
            costs[context].append(drive.backtrack_cost(engine, prompt, _NUM_TOKENS))
    usual = statistics.median(cost.usual for cost in costs[_SHORT])
    short = statistics.median(cost.added for cost in costs[_SHORT])
    for context in contexts[1:]:
        long = statistics.median(cost.added for cost in costs[context])
        yield Figure(
            name=f"backtracking {_NUM_TOKENS} tokens at context {context}, against {_SHORT}: delay",
            model=subject.name,
            value=1e3 * long,
            unit="ms",
            baseline=1e3 * short,
            ratio=(_PLUS_TOKENS * usual + long) / (_PLUS_TOKENS * usual + short),
            target=1.1,
            at_most=True,
        )
