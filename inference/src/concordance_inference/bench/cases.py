"""The cases of the benchmark, each a few lines over `drive`."""

import statistics
from collections.abc import Callable, Iterator

from msgspec import Struct

from concordance_inference.bench import drive, processes
from concordance_inference.bench.drive import Subject, silent
from concordance_inference.bench.figures import Figure, alternate, compared

Report = Callable[[Figure], None]


class Effort(Struct, frozen=True, kw_only=True):
    """How long to measure."""

    rounds: int
    decode_tokens: int
    prefill_tokens: int = 256


def decode_figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """One stream and a batch of eight, with and without mods, against mlx-lm."""
    n = effort.decode_tokens
    one, eight = subject.prompt(24), [subject.prompt(24, seed) for seed in range(8)]
    theirs, plain, modded, their_batch, batch = alternate(
        [
            lambda: drive.decode_mlx_lm(subject, one, n),
            lambda: drive.decode(subject, [one], n),
            lambda: drive.decode(subject, [one], n, silent),
            lambda: drive.decode_mlx_lm_batch(subject, eight, n),
            lambda: drive.decode(subject, eight, n),
        ],
        rounds=effort.rounds,
    )
    name, unit = subject.name, "tokens/s"
    yield compared("decode, one stream", name, unit, plain, theirs, wanted=0.95)
    yield compared("decode, one stream, a silent mod", name, unit, modded, theirs, wanted=0.90)
    yield compared("decode, batch of 8", name, unit, batch, their_batch, wanted=1.0)


def prefill_figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """A prompt, against mlx-lm with our BLAS and, if another process can load it, without."""
    prompt_ids = subject.prompt(effort.prefill_tokens)
    theirs, plain = alternate(
        [
            lambda: drive.prefill_mlx_lm(subject, prompt_ids),
            lambda: drive.prefill(subject, prompt_ids),
        ],
        rounds=effort.rounds,
    )
    yield compared("prefill", subject.name, "tokens/s", plain, theirs)
    if place := subject.place:
        short = prompt_ids[:64]
        installed, plain = alternate(
            [
                lambda: processes.prefill_as_installed(place, short),
                lambda: drive.prefill(subject, short),
            ],
            rounds=1,
        )
        yield compared(
            "prefill, against mlx-lm as installed",
            subject.name,
            "tokens/s",
            plain,
            installed,
            wanted=4.0,
        )


def steering_figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """What forcing and taking back cost."""
    prompt_ids, forced = subject.prompt(8), subject.prompt(effort.prefill_tokens, seed=1)
    reading, forcing = alternate(
        [
            lambda: 1e3 * len(forced) / drive.prefill(subject, forced),
            lambda: 1e3 * len(forced) / drive.force(subject, prompt_ids, forced),
        ],
        rounds=effort.rounds,
    )
    yield compared(
        f"forcing {len(forced)} tokens, against reading them as a prompt",
        subject.name,
        "ms",
        forcing,
        reading,
        wanted=1.5,
        at_most=True,
    )
    yield from _take_back_figures(subject, effort)


#: An added time below this, in milliseconds, is noise of the clock and the loop.
_NOISE_MS = 1.0


def _take_back_figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """How much longer the next token takes, at a long context against a short one."""
    contexts = (200, 2000, 4000)
    taken: dict[int, list[drive.TakenBack]] = {context: [] for context in contexts}
    for _ in range(min(effort.rounds, 2)):
        for context in contexts:
            taken[context].append(drive.take_back(subject, context, 16))
    for context in contexts[1:]:
        for when, wanted in (("first", None), ("later", 1.1)):
            short, long = (
                [max(_NOISE_MS, 1e3 * getattr(cost, when)) for cost in taken[c]]
                for c in (contexts[0], context)
            )
            yield compared(
                f"taking back 16 tokens at context {context}, against 200: added time, {when}",
                subject.name,
                "ms",
                long,
                short,
                wanted=wanted,
                at_most=True,
            )


def start_figures() -> Iterator[Figure]:
    """How long importing the SDK and asking for help take."""
    sdk = "concordance_sdk"
    for name, measure, wanted in (
        ("import concordance_sdk", lambda: processes.import_ms(sdk), None),
        # msgspec imports typing_extensions where some other package has brought it along; where
        # only the SDK is installed, there is none.
        (
            "import concordance_sdk, alone",
            lambda: processes.import_ms(sdk, without="typing_extensions"),
            100.0,
        ),
        ("concordance --help", processes.help_ms, 300.0),
    ):
        (values,) = alternate([measure], rounds=7)
        yield Figure(
            name=name,
            model="",
            value=statistics.median(values),
            unit="ms",
            wanted=wanted,
            at_most=True,
        )
