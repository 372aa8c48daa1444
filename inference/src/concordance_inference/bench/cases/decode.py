"""Decoding against mlx-lm: one stream and a batch, without mods and with one that does nothing."""

from collections.abc import Iterator

from concordance_inference.bench import drive, mlx_lm_drive
from concordance_inference.bench.drive import Subject, request, silent
from concordance_inference.bench.effort import Effort
from concordance_inference.bench.figures import Figure, alternate, compared

#: What the loop's own cost allows on the tiny model, and what is left of it on a real one.
_WANTED = {"tiny": (1.15, 1.10, 2.0)}
_WANTED_OF_OTHERS = (1.0, 0.97, 1.0)


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """The rates of both engines in turn."""
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
    wanted = _WANTED.get(subject.name, _WANTED_OF_OTHERS)
    yield compared("decode, one stream", name, unit, plain, theirs, wanted=wanted[0])
    yield compared(
        "decode, one stream, a mod on all events", name, unit, modded, theirs, wanted=wanted[1]
    )
    yield compared("decode, batch of 8", name, unit, batch, their_batch, wanted=wanted[2])
