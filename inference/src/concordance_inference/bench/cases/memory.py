"""Memory and processors: while a batch decodes, and after thousands of requests."""

from collections.abc import Iterator

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request, silent
from concordance_inference.bench.figures import Effort, Figure, measured
from concordance_inference.bench.resources import Watch, gpu_percent, wired_bytes

#: Bound of the prefix cache while thousands of requests run, so that growth beyond it is a leak.
_PREFIX_BYTES = 4 * 1024 * 1024

_MB = 1024 * 1024


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Measure a batch that decodes, then, on the tiny model, many short requests."""
    yield from _while_decoding(subject, effort)
    if subject.name == "tiny":
        yield _growth(subject, effort)


def _while_decoding(subject: Subject, effort: Effort) -> Iterator[Figure]:
    engine, name = subject.engine(), subject.name
    watch = Watch()
    prompts = [subject.prompt(24, seed) for seed in range(8)]
    drive.submit(engine, *(request(prompt, effort.decode_tokens, silent) for prompt in prompts))
    busy = None
    while engine.has_work:
        engine.step()
        busy = gpu_percent() if busy is None else busy
    usage = watch.usage()
    what = "a batch of 8 decodes"
    yield measured(f"peak memory of the device, {what}", name, "MB", usage.peak_bytes / _MB)
    yield measured(
        f"active memory of the device, after {what}", name, "MB", usage.active_bytes / _MB
    )
    yield measured(f"resident memory, {what}", name, "MB", usage.resident_bytes / _MB)
    yield measured(f"processors, {what}", name, "%", usage.cpu_percent)
    if busy is not None:
        yield measured(f"graphics processor, {what}", name, "%", busy)
    if (wired := wired_bytes()) is not None:
        yield measured("wired memory of the system", name, "MB", wired / _MB)


def _growth(subject: Subject, effort: Effort) -> Figure:
    """Measure by how much resident memory grows after the first tenth of many requests."""
    engine = subject.engine(prefix_bytes=_PREFIX_BYTES)
    prompts = [subject.prompt(16 + i % 16, seed=i) for i in range(200)]
    before = 0

    for i in range(effort.short_requests // 8):
        wave = [prompts[(8 * i + j) % len(prompts)] for j in range(8)]
        drive.run(engine, *(request(prompt, 8, *([silent] * (i % 2))) for prompt in wave))
        if i == effort.short_requests // 80:
            before = Watch().usage().resident_bytes
    grown = Watch().usage().resident_bytes - before
    return measured(
        f"{effort.short_requests} short requests: growth of resident memory after the first tenth",
        subject.name,
        "MB",
        grown / _MB,
        target=20.0,
        at_most=True,
    )
