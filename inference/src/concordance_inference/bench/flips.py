"""Measures how often a sampled token differs between a request alone and in a batch.

A model computes slightly different logits for the same tokens in another batch, since kernels add
in another order. The model samples some text; prompts and text are processed alone and in a batch,
the text one token a step. The two rows of logits of each position give the probability that a draw
differs, given the same random numbers.

    python -m concordance_inference.bench.flips --positions 50

If a machine's kernels add in the same order for any number of rows, nothing differs. With
`--reorder`, the batch is processed with the units of each feed-forward layer in another order: the
same function with different rounding.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import mlx.core as mx
import numpy as np
import typer
from msgspec import Struct

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject
from concordance_inference.bench.subjects import real_subject
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.plan import Pass, RowRead, StepPlan
from concordance_inference.generation import SamplingParams

logger = logging.getLogger(__name__)

_ROWS = 8


class Flips(Struct, frozen=True, kw_only=True):
    """The probability that a draw at temperature 1 differs, as a mean over positions."""

    positions: int
    gumbel: float  # of Gumbel-max: the largest sum of logit and noise
    inversion: float  # of inverting the cumulative distribution, in token id order
    rounding: float  # mean difference of two logits of the same token


def compare(
    subject: Subject,
    num_positions: int,
    *,
    reorders: bool = False,
    report: Callable[[str], None] = logger.info,
) -> Flips:
    """Compare the logits of rows alone and in a batch of eight.

    Args:
        subject: A model.
        num_positions: Sampled positions of each row.
        reorders: Reorder the model before the batch is processed.
        report: Called with progress messages.
    """
    report("sampling texts")
    texts = _sampled_texts(subject, num_positions)
    alone: list[list[tuple[np.ndarray, ...]]] = []
    for row, text in enumerate(texts):
        report(f"processing row {row + 1} of {_ROWS} alone")
        alone.append(_logits(subject, [text]))
    if reorders:
        reorder(subject.model)
    report(f"processing {_ROWS} rows together")
    together = _logits(subject, texts)
    pairs = [
        (alone[row][i][0], together[i][row]) for row in range(_ROWS) for i in range(num_positions)
    ]
    return Flips(
        positions=len(pairs),
        gumbel=float(np.mean([gumbel_flips(*pair) for pair in pairs])),
        inversion=float(np.mean([inversion_flips(*pair) for pair in pairs])),
        rounding=float(np.mean([np.abs(a - b).mean() for a, b in pairs])),
    )


def reorder(model: Any, seed: int = 0) -> None:
    """Permute the units of each feed-forward layer, which changes rounding only.

    Args:
        model: One of mlx-lm's, not quantized, with layers like llama's. Changed in place.
        seed: Of the order.
    """
    for i, layer in enumerate(model.layers):
        mlp = layer.mlp
        size = mlp.down_proj.weight.shape[1]
        order = mx.random.permutation(size, key=mx.random.key(seed + i))
        mlp.gate_proj.weight = mlp.gate_proj.weight[order]
        mlp.up_proj.weight = mlp.up_proj.weight[order]
        mlp.down_proj.weight = mlp.down_proj.weight[:, order]


def gumbel_flips(one: np.ndarray, other: np.ndarray) -> float:
    """Return the probability that Gumbel-max draws another token with the same noise.

    Token i wins with both rows of logits a and b with probability
    1 / sum_j exp(max(a_j - a_i, b_j - b_i)). To first order in the differences d = b - a, one minus
    the sum of these over all i is the sum of p_i p_j max(0, d_j - d_i) over all pairs, which one
    sort by d computes.

    Args:
        one: Logits.  (vocab,)
        other: Nearly the same.  (vocab,)
    """
    probs = _probs(one)
    differences = other.astype(np.float64) - one
    order = np.argsort(differences)
    p, d = probs[order], differences[order] - differences.min()
    return float(np.sum(p * (d * (np.cumsum(p) - p) - (np.cumsum(p * d) - p * d))))


def inversion_flips(one: np.ndarray, other: np.ndarray) -> float:
    """Return the probability that inverting the cumulative distribution draws another token.

    Each boundary between two tokens moves a little; a random number that it crosses flips.

    Args:
        one: Logits.  (vocab,)
        other: Nearly the same.  (vocab,)
    """
    a, b = (np.cumsum(_probs(logits)) for logits in (one, other))
    union = np.minimum(a[1:], b[1:]) - np.maximum(a[:-1], b[:-1])
    same = np.maximum(union, 0).sum() + min(a[0], b[0])
    return float(1 - same)


def _probs(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def _sampled_texts(subject: Subject, num_tokens: int) -> list[tuple[list[int], list[int]]]:
    """Return prompts of different lengths and their completions at temperature 1."""
    prompts = subject.prompts(_ROWS)
    requests = [
        drive.request(prompt, num_tokens, sampling=SamplingParams(seed=row))
        for row, prompt in enumerate(prompts)
    ]
    completed = drive.run(subject.engine(), *requests)
    return [(prompt, list(c.token_ids)) for prompt, c in zip(prompts, completed, strict=True)]


def _logits(
    subject: Subject, texts: Sequence[tuple[list[int], list[int]]]
) -> list[tuple[np.ndarray, ...]]:
    """Process the rows together; return the logits of each position, (vocab,) for each row."""
    runner = ModelRunner(subject.model, subject.profile)
    runner.cache.rebuild((), len(texts), longest=max(len(p) + len(text) for p, text in texts))
    lengths = [len(prompt) for prompt, _ in texts]
    reads = tuple(
        RowRead(row, 0, len(prompt), tuple(prompt), 0) for row, (prompt, _) in enumerate(texts)
    )
    runner.forward(StepPlan((Pass(0, (0,) * len(texts), reads),)), None)
    found: list[tuple[np.ndarray, ...]] = []
    for i in range(len(texts[0][1])):
        reads = tuple(
            RowRead(row, length + i, 1, (text[i],))
            for row, (length, (_, text)) in enumerate(zip(lengths, texts, strict=True))
        )
        pass_ = Pass(0, tuple(length + i for length in lengths), reads)
        (result,) = runner.forward(StepPlan((pass_,)), None)
        found.append(tuple(np.array(result.logits)))
    return found


def _print_progress(what: str) -> None:
    typer.echo(f"… {what}", err=True)


def main(
    model: Annotated[str | None, typer.Option(help="The embedded model if left out.")] = None,
    positions: Annotated[int, typer.Option(min=1, help="Positions of each of 8 rows.")] = 50,
    reorder_units: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--reorder", help="Reorder feed-forward layers before the batch is processed."
        ),
    ] = False,
) -> None:
    """Print the probability that a draw differs between a row alone and one of eight."""
    subject = real_subject(model)
    flips = compare(subject, positions, reorders=reorder_units, report=_print_progress)
    typer.echo(f"{flips.positions} positions, logits differ by {flips.rounding:.1e} in the mean")
    for name, rate in (("gumbel", flips.gumbel), ("inversion", flips.inversion)):
        often = f"one in {1 / rate:,.0f} draws" if rate > 1e-12 else "none"
        typer.echo(f"{name}: a draw differs with probability {rate:.2e} ({often})")


if __name__ == "__main__":
    typer.run(main)
