"""Decode rates against mlx-lm: one stream and a batch, without mods and with an idle one."""

from collections.abc import Iterator

from concordance_inference.bench import drive, mlx_lm_drive
from concordance_inference.bench.drive import Subject, request, silent
from concordance_inference.bench.figures import Effort, Figure, alternate, compared

#: Targets of one stream, one stream with a mod, and a batch. The tiny model shows the loop's own
#: cost, which is small beside the forward pass of a real one.
_TINY_TARGETS = (1.15, 1.10, 2.0)
_TARGETS = (1.0, 0.97, 1.0)


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Measure both engines in alternation."""
    n = effort.decode_tokens
    one, eight = subject.prompt(24), subject.prompts(8)
    engine = subject.engine()
    theirs, plain, modded, their_batch, batch = alternate(
        [
            lambda: mlx_lm_drive.decode_rate(subject, one, n),
            lambda: drive.decode_rate(engine, request(one, n)),
            lambda: drive.decode_rate(engine, request(one, n, silent)),
            lambda: mlx_lm_drive.batch_rate(subject, eight, n),
            lambda: drive.decode_rate(engine, *(request(prompt, n) for prompt in eight)),
        ],
        rounds=effort.rounds,
    )
    name, unit = subject.name, "tokens/s"
    targets = _TINY_TARGETS if name == "tiny" else _TARGETS
    yield compared("decode, one stream", name, unit, plain, theirs, target=targets[0])
    yield compared(
        "decode, one stream, a mod on all events", name, unit, modded, theirs, target=targets[1]
    )
    yield compared("decode, batch of 8", name, unit, batch, their_batch, target=targets[2])
