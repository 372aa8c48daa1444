"""Prefill rates, against mlx-lm in this process and in one without our BLAS."""

from collections.abc import Iterator

from concordance_inference.bench import drive, mlx_lm_drive, processes
from concordance_inference.bench.drive import Subject
from concordance_inference.bench.figures import Effort, Figure, alternate, compared


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Measure tokens per second, and the time to first token."""
    prompt = subject.prompt(effort.prefill_tokens)
    engine, name = subject.engine(), subject.name
    theirs, ours = alternate(
        [
            lambda: mlx_lm_drive.prefill_seconds(subject, prompt),
            lambda: drive.prefill_seconds(engine, prompt),
        ],
        rounds=effort.rounds,
    )
    rates = [[len(prompt) / seconds for seconds in times] for times in (ours, theirs)]
    yield compared(f"prefill, {len(prompt)} tokens", name, "tokens/s", *rates)
    times = [[1e3 * seconds for seconds in times] for times in (ours, theirs)]
    yield compared(f"time to first token, {len(prompt)} tokens", name, "ms", *times)
    if subject.place:
        yield _as_installed(subject, prompt[:64])


def _as_installed(subject: Subject, prompt: list[int]) -> Figure:
    """Measure against mlx-lm in a process of its own, which does not load our BLAS."""
    place, engine = subject.place or "", subject.engine()
    installed, ours = alternate(
        [
            lambda: processes.prefill_as_installed(place, prompt),
            lambda: len(prompt) / drive.prefill_seconds(engine, prompt),
        ],
        rounds=1,
    )
    return compared(
        "prefill, against mlx-lm as installed",
        subject.name,
        "tokens/s",
        ours,
        installed,
        target=4.0,
    )
