"""Decode rate of a batch with eight different mods, against the same batch without."""

from collections.abc import Iterator
from typing import Any

from concordance_sdk import Actions, Added, ForwardPass, Sampled, mod

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request, silent
from concordance_inference.bench.figures import Effort, Figure, alternate, compared


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Measure both batches in alternation."""
    n = 2 * effort.decode_tokens
    prompts = subject.prompts(8)
    engine, mods = subject.engine(), eight_mods()
    plain, modded = alternate(
        [
            lambda: drive.decode_rate(engine, *(request(prompt, n) for prompt in prompts)),
            lambda: drive.decode_rate(
                engine,
                *(request(prompt, n, target) for prompt, target in zip(prompts, mods, strict=True)),
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
        target=0.90 if subject.name == "tiny" else 0.95,
    )


def eight_mods() -> list[Any]:
    """Return mods that force, backtrack, ban, mask, bias, count, replace and do nothing."""
    return [
        _forces,
        _Backtracks,
        _bans,
        _Masks,
        _biases,
        _Counts,
        _replaces,
        silent,
    ]


@mod(name="forces", on=[ForwardPass], max_backtrack=0, registered=False)
def _forces(event: ForwardPass, actions: Actions) -> Any:
    """Force four tokens every 16 steps."""
    return actions.force_tokens([11, 12, 13, 14]) if event.step % 16 == 8 else None


@mod(name="backtracks", max_backtrack=8, registered=False)
class _Backtracks:
    """Backtracks two tokens every 16 steps, once at each position."""

    def __init__(self) -> None:
        self._next = 8

    def added(self, event: Added, actions: Actions) -> Any:
        if event.step < self._next:
            return None
        self._next = event.step + 16
        return actions.backtrack(2)


@mod(name="bans", on=[ForwardPass], max_backtrack=0, registered=False)
def _bans(event: ForwardPass, actions: Actions) -> Any:
    """Ban 100 tokens at every position."""
    del event
    return actions.adjust_logits(ban=range(100, 200))


@mod(name="masks", max_backtrack=0, registered=False)
class _Masks:
    """Allows half of the vocabulary at every position, with a packed mask."""

    def __init__(self) -> None:
        self._mask = b""

    def forward_pass(self, event: ForwardPass, actions: Actions) -> Any:
        self._mask = self._mask or b"\x55" * (len(event.logits) // 8 + 1)
        return actions.adjust_logits(mask=self._mask)


@mod(name="biases", on=[ForwardPass], max_backtrack=0, registered=False)
def _biases(event: ForwardPass, actions: Actions) -> Any:
    """Raise one logit at every position."""
    del event
    return actions.adjust_logits(bias={50: 1.0})


@mod(name="counts", max_backtrack=0, registered=False)
class _Counts:
    """Counts the tokens of the completion."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def added(self, event: Added, actions: Actions) -> None:
        del actions
        for token_id in event.added_tokens:
            self._counts[token_id] = self._counts.get(token_id, 0) + 1


@mod(name="replaces", on=[Sampled], max_backtrack=0, registered=False)
def _replaces(event: Sampled, actions: Actions) -> Any:
    """Replace the sampled token every 16 steps."""
    return actions.force_tokens([99]) if event.step % 16 == 4 else None
