"""What forcing and taking back cost."""

import statistics
from collections.abc import Iterator

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, TakenBack
from concordance_inference.bench.effort import Effort
from concordance_inference.bench.figures import Figure, alternate, compared

#: Taken back at once.
_NUM_BACK = 16

#: The context at which taking back is what the others are compared with, in tokens.
_SHORT = 200

#: What taking back adds is told beside the time of so many usual tokens.
_WHOLE = 2


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """First forcing, then taking back."""
    yield _forcing(subject, effort)
    yield from _taking_back(subject, effort)


def _forcing(subject: Subject, effort: Effort) -> Figure:
    """Forced tokens, against as many of a prompt: both until the next token is sampled."""
    prompt, forced = subject.prompt(8), subject.prompt(effort.prefill_tokens, seed=1)
    engine = subject.engine()
    reading, forcing = alternate(
        [
            lambda: len(forced) / drive.prefill_seconds(engine, forced),
            lambda: len(forced) / drive.force_seconds(engine, prompt, forced),
        ],
        rounds=effort.rounds,
    )
    return compared(
        f"forcing {len(forced)} tokens, against reading them as a prompt",
        subject.name,
        "tokens/s",
        forcing,
        reading,
        wanted=0.85 if subject.name == "tiny" else 0.90,
    )


def _taking_back(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """How much longer the next tokens take: value and baseline are the added times themselves.

    They are near nought, or below it, since positions that were scored before are not read again.
    So the ratio is told of the time that a usual token takes and what is added to it.
    """
    contexts = [c for c in (_SHORT, 2000, 4000) if c < subject.traits.context_length]
    engine = subject.engine(prefix_bytes=None)
    costs: dict[int, list[TakenBack]] = {context: [] for context in contexts}
    for _ in range(max(2, effort.rounds // 2)):
        for context in contexts:
            prompt = subject.prompt(context - _NUM_BACK)
            costs[context].append(drive.take_back(engine, prompt, _NUM_BACK))
    usual = statistics.median(cost.usual for cost in costs[_SHORT])
    short = statistics.median(cost.added for cost in costs[_SHORT])
    for context in contexts[1:]:
        long = statistics.median(cost.added for cost in costs[context])
        yield Figure(
            name=f"taking back {_NUM_BACK} tokens at context {context}, against {_SHORT}: added",
            model=subject.name,
            value=1e3 * long,
            unit="ms",
            baseline=1e3 * short,
            ratio=(_WHOLE * usual + long) / (_WHOLE * usual + short),
            wanted=1.1,
            at_most=True,
        )
