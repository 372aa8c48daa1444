"""The groups of figures, by name, and a run over some of them."""

from collections.abc import Callable, Collection, Iterator, Sequence

from concordance_inference.bench.cases import (
    batches,
    constraints,
    conversation,
    decode,
    latency,
    memory,
    mods,
    overlap,
    pauses,
    prefill,
    sharing,
    start,
    steering,
)
from concordance_inference.bench.drive import Subject
from concordance_inference.bench.effort import Effort
from concordance_inference.bench.figures import Figure

Measure = Callable[[Subject, Effort], Iterator[Figure]]

GROUPS: dict[str, Measure] = {
    "decode": decode.figures,
    "mods": mods.figures,
    "steering": steering.figures,
    "constraints": constraints.figures,
    "prefill": prefill.figures,
    "latency": latency.figures,
    "overlap": overlap.figures,
    "conversation": conversation.figures,
    "memory": memory.figures,
    "batches": batches.figures,
    "sharing": sharing.figures,
}

#: Groups that need no model.
MODEL_FREE: dict[str, Callable[[], Iterator[Figure]]] = {
    "start": start.figures,
    "o200k": constraints.large_vocabulary_figures,
    "pauses": pauses.figures,
}


def names() -> list[str]:
    """The names of all groups."""
    return [*MODEL_FREE, *GROUPS]


def figures(
    subjects: Sequence[tuple[Subject, Effort]], only: Collection[str] = ()
) -> Iterator[Figure]:
    """Measure.

    Args:
        subjects: The models, each with how long to measure it.
        only: The groups; all if empty.
    """
    for name, measure_alone in MODEL_FREE.items():
        if not only or name in only:
            yield from measure_alone()
    for name, measure in GROUPS.items():
        if not only or name in only:
            for subject, effort in subjects:
                yield from measure(subject, effort)
