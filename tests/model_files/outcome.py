"""The outcome of a comparison for one model file."""

import traceback
from enum import StrEnum
from typing import Any

import msgspec
from concordance_inference.engine.plan import Sharing
from concordance_shared import ModelLoadError
from tiny import runner_of

from model_files import compare
from model_files.configs import module_of

#: Why a tiny model of a file cannot be built or run on the machine that makes the table.
NOT_HERE = {
    "muse_spark": "it is made of Metal kernels; this table is made on a CPU",
}


class Verdict(StrEnum):
    """The verdict on a model file, as the table shows it."""

    EXACT = "exact"
    ONE_BY_ONE = "exact, row by row"
    REFUSED = "refused"
    NOT_A_MODEL = "not a model"
    NOT_DECIDED = "not decided"
    FAULT = "mlx-lm's own fault"
    WRONG = "wrong"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one model file, with the measurements behind it."""

    name: str
    verdict: Verdict
    caches: tuple[str, ...] = ()  # mlx-lm's cache classes for it
    sharing: str = ""
    own: float = 0.0  # mlx-lm in chunks against one pass, in standard deviations of the logits
    engine: float = 0.0  # the engine against one pass of mlx-lm, in the same unit
    why: str = ""  # why rows cannot share more passes
    note: str = ""


def outcome_of(name: str, weights: str = "float32", seed: int = 1) -> Outcome:
    """Build, run and compare a tiny model of a file.

    Args:
        name: The file.
        weights: The type of the weights, one of `compare.WEIGHTS`.
        seed: The seed of weights, prompts, and forced and backtracked tokens.
    """
    try:
        if not hasattr(module_of(name), "Model"):
            return Outcome(name=name, verdict=Verdict.NOT_A_MODEL)
        model = compare.build(name, weights, seed)
        reference = compare.Reference(model)
    except (Exception, SystemExit) as exc:
        verdict = Verdict.NOT_DECIDED if name in NOT_HERE else Verdict.FAULT
        return Outcome(name=name, verdict=verdict, note=NOT_HERE.get(name, _raised(exc)))
    if not reference.depends_on_context():
        note = "the tiny model's next token hardly depends on those before"
        return Outcome(name=name, verdict=Verdict.NOT_DECIDED, note=note)
    with compare.small_buffers():
        return _compared(name, model, reference, seed)


def _compared(name: str, model: Any, reference: compare.Reference, seed: int) -> Outcome:
    own = _worst([*_own(model, reference), *compare.batch_differences(model, reference)])
    try:
        layout = runner_of(model).profile.layout
        ways = compare.engine_differences(model, reference, seed)
        ways.append(compare.token_difference(model, reference, seed))
    except Exception as exc:
        verdict = Verdict.REFUSED if isinstance(exc, ModelLoadError) else Verdict.WRONG
        return Outcome(name=name, verdict=verdict, own=min(own.size, 1e3), note=_raised(exc))
    engine = _worst(ways)
    return Outcome(
        name=name,
        verdict=_verdict(own, engine, layout.sharing),
        caches=compare.kinds_of_caches(model),
        sharing=layout.sharing.name.lower(),
        own=min(own.size, 1e3),
        engine=min(engine.size, 1e3),
        why=layout.why,
        note=_note(own, engine, reference),
    )


def _own(model: Any, reference: compare.Reference) -> list[compare.Difference]:
    try:
        return compare.own_differences(model, reference)
    except Exception as exc:
        return [compare.Difference(f"mlx-lm raises {_raised(exc)}", float("inf"))]


def _worst(differences: list[compare.Difference]) -> compare.Difference:
    return max(differences, key=lambda difference: difference.size)


def _verdict(own: compare.Difference, engine: compare.Difference, sharing: Sharing) -> Verdict:
    if engine.is_rounding:
        return Verdict.ONE_BY_ONE if sharing is Sharing.ALONE else Verdict.EXACT
    return Verdict.WRONG if own.is_rounding else Verdict.FAULT


def _note(own: compare.Difference, engine: compare.Difference, reference: compare.Reference) -> str:
    """Describe where the differences are larger than rounding."""
    notes = [
        f"{difference.way}: differs by {difference.size:.2g} after {difference.num_tokens} tokens"
        for difference in (own, engine)
        if not difference.is_rounding
    ]
    if not reference.is_causal:
        notes.append("the logits after a prefix depend on the tokens that follow")
    return "; ".join(notes)


def _raised(exc: BaseException) -> str:
    """Format an exception in one line, with the file and line that raised it."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
    first_line = str(exc).partition("\n")[0]
    return f"{type(exc).__name__}: {first_line} ({place})"
