"""The groups of figures by name."""

from collections.abc import Callable, Collection, Iterator, Sequence

from concordance_inference.bench.cases import (
    batches,
    choices,
    constraints,
    conversation,
    decode,
    edits,
    harmony,
    http,
    latency,
    loops,
    memory,
    mods,
    overlap,
    parking,
    pauses,
    prefill,
    sandbox,
    scripts,
    sharing,
    start,
    traces,
)
from concordance_inference.bench.drive import Subject
from concordance_inference.bench.figures import Effort, Figure
from concordance_inference.bench.profiling import HotFunction

Measure = Callable[[Subject, Effort], Iterator[Figure]]

GROUPS: dict[str, Measure] = {
    "decode": decode.figures,
    "mods": mods.figures,
    "edits": edits.figures,
    "constraints": constraints.figures,
    "prefill": prefill.figures,
    "latency": latency.figures,
    "overlap": overlap.figures,
    "conversation": conversation.figures,
    "memory": memory.figures,
    "batches": batches.figures,
    "choices": choices.figures,
    "sharing": sharing.figures,
    "loops": loops.figures,
    "traces": traces.figures,
    "parking": parking.figures,
}

#: Groups that need no model.
MODEL_FREE: dict[str, Callable[[], Iterator[Figure]]] = {
    "start": start.figures,
    "scripts": scripts.figures,
    "o200k": constraints.large_vocabulary_figures,
    "pauses": pauses.figures,
    "http": http.figures,
    "sandbox": sandbox.figures,
    "harmony": harmony.figures,
}

#: Groups with a profile of their own.
PROFILES: dict[str, Callable[[], list[HotFunction]]] = {"harmony": harmony.hottest_functions}


def names() -> list[str]:
    """Return the names of all groups."""
    return [*MODEL_FREE, *GROUPS]


def needs_model(only: Collection[str]) -> bool:
    """Return True if any of the groups measures a model; all groups are meant if empty."""
    return not only or any(name in GROUPS for name in only)


def figures(
    subjects: Sequence[tuple[Subject, Effort]], only: Collection[str] = ()
) -> Iterator[Figure]:
    """Measure groups of figures, one figure at a time.

    Args:
        subjects: The models, each with its effort; not needed without `needs_model(only)`.
        only: The groups; all if empty.
    """
    for name, measure_alone in MODEL_FREE.items():
        if not only or name in only:
            yield from measure_alone()
    for name, measure in GROUPS.items():
        if not only or name in only:
            for subject, effort in subjects:
                yield from measure(subject, effort)
