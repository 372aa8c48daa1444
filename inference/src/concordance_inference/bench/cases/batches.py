"""Decode rates by batch size and context length, against mlx-lm."""

from collections.abc import Iterator

from concordance_inference.bench import drive, mlx_lm_drive
from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.figures import Effort, Figure, alternate, compared


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Measure batch sizes, then context lengths."""
    yield from _batches(subject, effort)
    yield from _contexts(subject, effort)


def _batches(subject: Subject, effort: Effort) -> Iterator[Figure]:
    n = effort.decode_tokens
    for rows in effort.batches:
        prompts = subject.prompts(rows)
        engine = subject.engine(max_rows=rows)
        theirs, ours = alternate(
            [
                lambda prompts=prompts: mlx_lm_drive.batch_rate(subject, prompts, n),
                lambda prompts=prompts, engine=engine: drive.decode_rate(
                    engine, *(request(prompt, n) for prompt in prompts)
                ),
            ],
            rounds=effort.rounds,
        )
        yield compared(f"decode, {rows} rows", subject.name, "tokens/s", ours, theirs)


def _contexts(subject: Subject, effort: Effort) -> Iterator[Figure]:
    n = effort.decode_tokens
    for context in effort.contexts:
        if context + n >= subject.traits.context_length:
            continue
        prompt = subject.prompt(context)
        engine = subject.engine(prefix_bytes=None)
        their_context = mlx_lm_drive.LongContext(subject, prompt)
        theirs, ours = alternate(
            [
                lambda c=their_context: c.decode_rate(n),
                lambda p=prompt, engine=engine: drive.decode_rate(engine, request(p, n)),
            ],
            rounds=effort.rounds,
        )
        yield compared(f"decode, context of {context}", subject.name, "tokens/s", ours, theirs)
