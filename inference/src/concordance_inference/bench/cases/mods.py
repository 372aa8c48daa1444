"""Eight different mods in a batch, against the same batch without."""

from collections.abc import Iterator
from typing import Any

from concordance_sdk import Actions, Added, ForwardPass, Sampled, mod

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request, silent
from concordance_inference.bench.effort import Effort
from concordance_inference.bench.figures import Figure, alternate, compared


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """The rates of both batches in turn."""
    n = 2 * effort.decode_tokens
    prompts = subject.prompts(8)
    engine = subject.engine()
    plain, modded = alternate(
        [
            lambda: drive.decode_rate(engine, *(request(prompt, n) for prompt in prompts)),
            lambda: drive.decode_rate(
                engine,
                *(request(prompt, n, target) for prompt, target in zip(prompts, MODS, strict=True)),
            ),
        ],
        rounds=effort.rounds,
    )
    yield compared(
        "decode, batch of 8, eight different mods, against without",
        subject.name,
        "tokens/s",
        modded,
        plain,
        wanted=0.90 if subject.name == "tiny" else 0.95,
    )


@mod(name="forces", on=[ForwardPass], max_backtrack=0)
def _forces(event: ForwardPass, actions: Actions) -> Any:
    """Puts four tokens there every now and then."""
    return actions.force_tokens([11, 12, 13, 14]) if event.step % 16 == 8 else None


@mod(name="takes_back", max_backtrack=8)
class _TakesBack:
    """Takes back two tokens every now and then, once at each place."""

    def __init__(self) -> None:
        self._next = 8

    def added(self, event: Added, actions: Actions) -> Any:
        if event.step < self._next:
            return None
        self._next = event.step + 16
        return actions.backtrack(2)


@mod(name="bans", on=[ForwardPass], max_backtrack=0)
def _bans(event: ForwardPass, actions: Actions) -> Any:
    """Masks some tokens at every position."""
    del event
    return actions.adjust_logits(ban=range(100, 200))


@mod(name="masks", max_backtrack=0)
class _Masks:
    """Allows half of the vocabulary, as a packed mask, at every position."""

    def __init__(self) -> None:
        self._mask = b""

    def forward_pass(self, event: ForwardPass, actions: Actions) -> Any:
        self._mask = self._mask or b"\x55" * (len(event.logits) // 8 + 1)
        return actions.adjust_logits(mask=self._mask)


@mod(name="biases", on=[ForwardPass], max_backtrack=0)
def _biases(event: ForwardPass, actions: Actions) -> Any:
    """Makes one token likelier at every position."""
    del event
    return actions.adjust_logits(bias={50: 1.0})


@mod(name="counts", max_backtrack=0)
class _Counts:
    """Counts what was said."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def added(self, event: Added, actions: Actions) -> None:
        del actions
        for token_id in event.added_tokens:
            self._counts[token_id] = self._counts.get(token_id, 0) + 1


@mod(name="replaces", on=[Sampled], max_backtrack=0)
def _replaces(event: Sampled, actions: Actions) -> Any:
    """Puts another token in the place of the one sampled, every now and then."""
    return actions.force_tokens([99]) if event.step % 16 == 4 else None


MODS = (_forces, _TakesBack, _bans, _Masks, _biases, _Counts, _replaces, silent)
